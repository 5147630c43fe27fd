import { keyValueStore, type Serde } from '../../../runtime/state/contract.ts';
import type { ContactObserved } from '../../../schemas/types.ts';
import { BLOCKS } from '../matching/blocking.ts';
import { hashText } from '../matching/hash.ts';
import { emailKey, fold, type MatchRecord } from '../matching/match-record.ts';
import { Shingler, shingleSet } from '../matching/shingles.ts';

/** Order of the fields in what is stored: append only, or raise the store's version. */
const FIELDS = [
  'tenant_id',
  'source',
  'source_id',
  'version',
  'is_snapshot',
  'is_deleted',
  'full_name',
  'given_name',
  'family_name',
  'email',
  'phone',
  'birth_date',
  'street',
  'locality',
  'city',
  'region',
  'postcode',
  'country',
  'company',
  'company_domain',
  'tags',
  'created_at',
  'updated_at',
  'quality',
] as const satisfies readonly (keyof ContactObserved)[];

/** Where among a record's hashes that of its identity is, behind those of the blocks. */
export const IDENTITY = BLOCKS;
/** Hashes that a record has. */
export const HASHES = BLOCKS + 1;

const shingler = new Shingler();

/** What is stored of one source record. It does not change: a change is another one. */
export class KnownRecord {
  readonly number: number;
  /** Hashes by which it is found, by block, and `IDENTITY`; 0 where it is in none, or was held back. */
  readonly hashes: Uint32Array;
  /** Numbers of the records that it matches, ascending. */
  readonly edges: readonly number[];
  /** Of the last golden record under this record's contact id; 0 before the first. */
  readonly emitted: number;
  #observed: ContactObserved | undefined;
  readonly #text: string;
  #match: MatchRecord | undefined;
  #shingles: Uint32Array | undefined;

  constructor(
    number: number,
    hashes: Uint32Array,
    edges: readonly number[],
    emitted: number,
    observed: ContactObserved | string,
  ) {
    this.number = number;
    this.hashes = hashes;
    this.edges = edges;
    this.emitted = emitted;
    this.#observed = typeof observed === 'string' ? undefined : observed;
    this.#text = typeof observed === 'string' ? observed : textOf(observed);
  }

  /** What the source says. */
  get observed(): ContactObserved {
    this.#observed ??= observedOf(this.#text);
    return this.#observed;
  }

  /** The observed fields as they are stored. */
  get text(): string {
    return this.#text;
  }

  get match(): MatchRecord {
    this.#match ??= matchRecordOf(this.observed);
    return this.#match;
  }

  /** Sorted, without repeats. */
  get shingles(): Uint32Array {
    if (this.#shingles === undefined) {
      shingler.shingle(this.match);
      this.#shingles = shingleSet(shingler);
    }
    return this.#shingles;
  }

  withEdges(edges: readonly number[]): KnownRecord {
    return this.#copy(edges, this.emitted);
  }

  withEmitted(emitted: number): KnownRecord {
    return this.#copy(this.edges, emitted);
  }

  #copy(edges: readonly number[], emitted: number): KnownRecord {
    const copy = new KnownRecord(this.number, this.hashes, edges, emitted, this.#text);
    copy.#observed = this.#observed;
    copy.#match = this.#match;
    copy.#shingles = this.#shingles;
    return copy;
  }
}

function textOf(observed: ContactObserved): string {
  return JSON.stringify(
    FIELDS.map((field) => (field === 'version' ? String(observed.version) : observed[field])),
  );
}

function observedOf(text: string): ContactObserved {
  const values = JSON.parse(text) as unknown[];
  const observed: Partial<Record<keyof ContactObserved, unknown>> = {};
  for (let i = 0; i < FIELDS.length; i += 1) {
    const field = FIELDS[i];
    if (field !== undefined) observed[field] = values[i] ?? null;
  }
  observed.version = BigInt(String(observed.version));
  return observed as ContactObserved;
}

/** What the source record is found by: its tenant, source and id there. */
export function identityHash({ tenant_id, source, source_id }: ContactObserved): number {
  return hashText(source_id, hashText(source, hashText(tenant_id, IDENTITY)));
}

/** What a source says, as matching sees it. */
export function matchRecordOf(observed: ContactObserved): MatchRecord {
  return {
    given: fold(observed.given_name ?? ''),
    family: fold(observed.family_name ?? ''),
    email: emailKey(observed.email ?? ''),
    phone: observed.phone ?? '',
    birthDate: observed.birth_date ?? '',
    street: fold(observed.street ?? ''),
    locality: fold(observed.locality ?? ''),
    city: fold(observed.city ?? ''),
    region: fold(observed.region ?? ''),
    postcode: fold(observed.postcode ?? '').replaceAll(' ', ''),
    company: fold(observed.company ?? ''),
  };
}

const HASHES_AT = 8;
const EDGES_AT = HASHES_AT + 4 * HASHES;

/** `number`, `emitted`, the hashes, how many edges, the edges, and the fields as JSON. */
const recordSerde: Serde<KnownRecord> = {
  encode(record) {
    const text = Buffer.byteLength(record.text);
    const at = EDGES_AT + 4 + 4 * record.edges.length;
    const bytes = Buffer.allocUnsafe(at + text);
    bytes.writeUInt32LE(record.number, 0);
    bytes.writeUInt32LE(record.emitted, 4);
    for (let i = 0; i < HASHES; i += 1)
      bytes.writeUInt32LE(record.hashes[i] ?? 0, HASHES_AT + 4 * i);
    bytes.writeUInt32LE(record.edges.length, EDGES_AT);
    for (const [i, edge] of record.edges.entries()) bytes.writeUInt32LE(edge, EDGES_AT + 4 + 4 * i);
    bytes.write(record.text, at);
    return bytes;
  },
  decode(bytes) {
    const hashes = new Uint32Array(HASHES);
    for (let i = 0; i < HASHES; i += 1) hashes[i] = bytes.readUInt32LE(HASHES_AT + 4 * i);
    const count = bytes.readUInt32LE(EDGES_AT);
    const edges: number[] = [];
    for (let i = 0; i < count; i += 1) edges.push(bytes.readUInt32LE(EDGES_AT + 4 + 4 * i));
    const text = bytes.toString('utf8', EDGES_AT + 4 + 4 * count);
    return new KnownRecord(bytes.readUInt32LE(0), hashes, edges, bytes.readUInt32LE(4), text);
  },
};

/** Source records by number: they come in the order of their keys, so that new ones go to the end of the tree. */
export const recordStore = keyValueStore<KnownRecord>('records', recordSerde);

/** The key of a record in the store. */
export function recordKey(number: number): string {
  return number.toString(36).padStart(6, '0');
}
