import type { KeyValueStore } from '../../../runtime/state/contract.ts';
import type { ContactObserved } from '../../../schemas/types.ts';
import { BLOCKS, blockWorth, CANDIDATE } from '../matching/blocking.ts';
import { BlockIndex } from './block-index.ts';
import { HASHES, IDENTITY, identityHash, type KnownRecord, recordKey } from './known-record.ts';
import { Tally } from './tally.ts';

/** Records in one block, at most: what more share it are not compared by it, and reported. */
export const MAX_BLOCK = 50;
/** Records of two identities that may share one hash of 32 bits before the identity is not found: never, in practice. */
const MAX_COLLISIONS = 64;

/**
 * The source records of a task: the store, and the index in memory that says which of them may be the same. The index is
 * derived from what is stored alone, block limits included, so a task that was restarted goes on as if it had not been.
 */
export class Records {
  readonly #store: KeyValueStore<KnownRecord>;
  readonly #index = new BlockIndex();
  readonly #found: number[] = [];
  readonly #shared = new Tally(BLOCKS * MAX_BLOCK);
  #last = 0;

  constructor(store: KeyValueStore<KnownRecord>) {
    this.#store = store;
  }

  /** Fills the index, once, from the restored store. */
  restore(): void {
    for (const [, record] of this.#store.range()) {
      this.#last = record.number;
      for (const hash of record.hashes) if (hash !== 0) this.#index.add(hash, record.number);
    }
  }

  /** Bytes that the index takes. */
  get indexBytes(): number {
    return this.#index.bytes;
  }

  /** The number for a record that is new. */
  nextNumber(): number {
    this.#last += 1;
    return this.#last;
  }

  /** @throws Error when there is none: an edge leads nowhere. */
  get(number: number): KnownRecord {
    const record = this.#store.get(recordKey(number));
    if (record === undefined) throw new Error(`there is no record ${number}`);
    return record;
  }

  /** What is known of the same record of the same source. */
  find(observed: ContactObserved): KnownRecord | undefined {
    this.#found.length = 0;
    this.#index.find(identityHash(observed), MAX_COLLISIONS, this.#found);
    for (const number of this.#found) {
      const known = this.get(number);
      const { tenant_id, source, source_id } = known.observed;
      if (
        known.hashes[IDENTITY] === identityHash(observed) &&
        tenant_id === observed.tenant_id &&
        source === observed.source &&
        source_id === observed.source_id
      )
        return known;
    }
    return undefined;
  }

  /**
   * Decides which of `hashes` a record can have: those of full blocks become 0, and their blocks come to `full`. What it had
   * `before` it keeps. @returns the numbers of those who share enough, ascending, without its own.
   */
  candidates(
    number: number,
    hashes: Uint32Array,
    before: KnownRecord | undefined,
    full: number[],
  ): number[] {
    const shared = this.#shared;
    shared.clear();
    for (let block = 0; block < BLOCKS; block += 1) {
      const hash = hashes[block] ?? 0;
      if (hash === 0) continue;
      this.#found.length = 0;
      const count = this.#index.find(hash, MAX_BLOCK, this.#found);
      if (count === MAX_BLOCK && before?.hashes[block] !== hash) {
        hashes[block] = 0;
        full.push(block);
        continue;
      }
      const worth = blockWorth(block);
      for (const other of this.#found) if (other !== number) shared.add(other, worth);
    }
    return shared.reaching(CANDIDATE).sort((a, b) => a - b);
  }

  /** Stores a record, and indexes it by its hashes instead of those that it had before. */
  put(record: KnownRecord, before: KnownRecord | undefined): void {
    this.#store.set(recordKey(record.number), record);
    if (before?.hashes === record.hashes) return;
    for (let i = 0; i < HASHES; i += 1) {
      const old = before?.hashes[i] ?? 0;
      const now = record.hashes[i] ?? 0;
      if (old === now) continue;
      if (old !== 0) this.#index.remove(old, record.number);
      if (now !== 0) this.#index.add(now, record.number);
    }
  }

  /** The records that are connected with one, itself included, ascending. @param without a record that is not there. */
  component(start: KnownRecord, without?: number): KnownRecord[] {
    if (start.edges.length === 0) return [start];
    const seen = new Map<number, KnownRecord>([[start.number, start]]);
    // A Map is iterated in the order in which it grows: each is visited once.
    for (const record of seen.values()) {
      for (const edge of record.edges) {
        if (edge !== without && !seen.has(edge)) seen.set(edge, this.get(edge));
      }
    }
    return [...seen.values()].sort((a, b) => a.number - b.number);
  }
}
