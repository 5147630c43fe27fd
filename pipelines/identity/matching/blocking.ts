import { hashText, mix } from './hash.ts';
import type { MatchRecord } from './match-record.ts';
import { BANDS, SHARED_BANDS, Signer } from './minhash.ts';

/** Blocks by exact keys, beside the bands of the signature. */
export const KEYS = 8;
/** Blocks that a record can be in. */
export const BLOCKS = BANDS + KEYS;

/** Names of blocks, for reports. */
const KEY_NAMES = [
  'email',
  'phone',
  'birth date and given name',
  'birth date and family name',
  'birth date and postcode',
  'names and postcode',
  'street and postcode',
  'street and family name',
] as const;

/** Candidates share blocks that are worth so much together. */
export const CANDIDATE = SHARED_BANDS;

/** What a shared block is worth: an exact key makes candidates by itself. */
export function blockWorth(block: number): number {
  return block < BANDS ? 1 : CANDIDATE;
}

/** What a block is, for people. */
export function blockName(block: number): string {
  return KEY_NAMES[block - BANDS] ?? `band ${block}`;
}

/**
 * Finds the blocks of records: those that share enough of them are candidates for a match (`blockWorth`, `CANDIDATE`). The bands of the MinHash signature find what is
 * alike as a whole; exact keys (multi-pass blocking) what shares an identifier, or two weak ones, however little the
 * rest is alike. All are hashes that differ by tenant: records of two tenants never meet.
 */
export class Blocker {
  readonly #signer = new Signer();
  /** Hashes by block; 0 where the record is not in it. */
  readonly blocks = new Uint32Array(BLOCKS);

  /** Leaves the blocks of `record` in `blocks`. */
  block(tenant: string, record: MatchRecord): void {
    const { blocks } = this;
    const seed = hashText(tenant);
    if (this.#signer.sign(record)) this.#signer.bands(seed, blocks);
    else blocks.fill(0, 0, BANDS);
    const { given, family, email, phone, birthDate, postcode, street } = record;
    blocks[BANDS] = key(seed, 1, email, '');
    blocks[BANDS + 1] = key(seed, 2, phone, '');
    blocks[BANDS + 2] = given === '' ? 0 : key(seed, 3, birthDate, given);
    blocks[BANDS + 3] = family === '' ? 0 : key(seed, 4, birthDate, family);
    blocks[BANDS + 4] = postcode === '' ? 0 : key(seed, 5, birthDate, postcode);
    blocks[BANDS + 5] = given === '' || postcode === '' ? 0 : names(seed, given, family, postcode);
    blocks[BANDS + 6] = postcode === '' ? 0 : key(seed, 7, street, postcode);
    blocks[BANDS + 7] = family === '' ? 0 : key(seed, 8, street, family);
  }
}

function key(seed: number, kind: number, first: string, second: string): number {
  if (first === '') return 0;
  return hashText(second, hashText(first, mix(seed ^ kind)));
}

/** Names may be swapped. */
function names(seed: number, given: string, family: string, postcode: string): number {
  if (family === '') return 0;
  const [first, second] = given < family ? [given, family] : [family, given];
  return hashText(postcode, key(seed, 6, first, second));
}
