import { errorMessage, ReachflowError } from '../runtime/errors.ts';
import {
  createResolver,
  hasField,
  type Resolver,
  readerSchemaText,
  readerType,
  schemaTextOf,
  type Type,
} from './avro.ts';
import {
  type ClaimableValue,
  type PayloadRef,
  type PayloadSource,
  Payloads,
  readPayloads,
} from './payloads.ts';
import type { SchemaRegistryClient } from './registry.ts';
import { isClaimable, type TopicName, type TopicValue, topics } from './topics.ts';

/** Confluent wire format: byte 0, then the schema id as a big-endian int32, then the Avro body. */
const MAGIC = 0;
const HEADER_BYTES = 5;
const SCRATCH_BYTES = 16_384;

interface Reader {
  readonly writer: Type;
  readonly resolver: Resolver;
  /** Whether values may have their payload elsewhere. */
  readonly claims: boolean;
}

/** How long a writer schema that cannot be read is not asked for again, ms. */
const UNREADABLE_MS = 30_000;

/** A writer schema that cannot be read, for now: a registry may have been behind, or restored. */
class Unreadable {
  readonly error: ReachflowError;
  readonly until = Date.now() + UNREADABLE_MS;

  constructor(error: ReachflowError) {
    this.error = error;
  }
}

function undecodable(topic: TopicName, why: string, cause?: unknown): ReachflowError {
  return new ReachflowError(`a value of ${topic} cannot be decoded: ${why}`, {
    code: 'UNDECODABLE',
    domain: 'user',
    hint: `Values of ${topic} are Avro in Confluent wire format, readable as schemas/avro/${topics[topic].schema}.avsc.`,
    cause,
  });
}

/** Names each path of `value` that does not fit, not only the first. */
function mismatch(topic: TopicName, type: Type, value: unknown, cause: unknown): ReachflowError {
  const wrong: string[] = [];
  type.isValid(value, {
    errorHook: (path, given, expected) => {
      wrong.push(`${path.join('.')}: ${String(given).slice(0, 40)} is no ${expected.toString()}`);
    },
  });
  const paths = wrong.length > 0 ? wrong.join('; ') : errorMessage(cause);
  return new ReachflowError(`a value does not fit the schema of ${topic}: ${paths}`, {
    code: 'SCHEMA_MISMATCH',
    domain: 'user',
    cause,
  });
}

/** Writes values of one topic in place, framed: for batches that records are encoded into. */
export interface ValueWriter {
  /**
   * Writes at `at` and returns the position behind the value; a negative number, or one beyond the buffer's end, when
   * it does not fit. @throws ReachflowError `SCHEMA_MISMATCH`.
   */
  encode(value: unknown, buffer: Buffer, at: number): number;
}

/** The schema id of a Confluent-framed value, or undefined when it is not framed so. */
export function schemaIdOf(value: Buffer): number | undefined {
  if (value.length < HEADER_BYTES || value[0] !== MAGIC) return undefined;
  return value.readInt32BE(1);
}

/**
 * Encodes and decodes the topics' values. Encoding and decoding are synchronous; the registry is asked only
 * in `register` (once per topic) and `load` (once per writer schema).
 */
export class TopicCodec {
  readonly #registry: SchemaRegistryClient;
  readonly #subjectOf: (topic: TopicName) => string;
  readonly #writeIds = new Map<TopicName, number>();
  readonly #readers = new Map<TopicName, Map<number, Reader | Unreadable>>();
  readonly #keyTypes = new Map<number, Type | Unreadable>();
  readonly #payloads: PayloadSource | undefined;
  /** What is encoded is written here first, since its length is not known before; as large as the largest value. */
  #scratch = Buffer.allocUnsafeSlow(SCRATCH_BYTES);

  /**
   * @param physicalName logical topic → name on the broker; the subject is that name + `-value`.
   * @param payloads where payloads are that values refer to; without it such values cannot be read.
   */
  constructor(
    registry: SchemaRegistryClient,
    physicalName: (topic: TopicName) => string,
    payloads?: PayloadSource,
  ) {
    this.#registry = registry;
    this.#payloads = payloads;
    this.#subjectOf = (topic) => `${physicalName(topic)}-value`;
  }

  /** Registers the schemas of the topics that will be encoded. Skips those already registered by this codec. */
  async register(names: readonly TopicName[]): Promise<void> {
    for (const name of names) {
      if (this.#writeIds.has(name) || topics[name].schemaOwner !== 'reachflow') continue;
      const id = await this.#registry.register(this.#subjectOf(name), readerSchemaText(name));
      this.#writeIds.set(name, id);
    }
  }

  /**
   * Lets values be written to a topic of ours in the schema that we read `topic` in, also where others write `topic`:
   * `encode` uses it from then on. @param target physical name of the topic that the values go to.
   */
  async registerFor(topic: TopicName, target: string): Promise<void> {
    if (this.#writeIds.has(topic)) return;
    const id = await this.#registry.register(`${target}-value`, readerSchemaText(topic));
    this.#writeIds.set(topic, id);
  }

  /** @throws ReachflowError `SCHEMA_MISMATCH` listing each path of the value that does not fit. */
  encode<T extends TopicName>(topic: T, value: TopicValue<T>): Buffer {
    const id = this.#writeIds.get(topic);
    if (id === undefined) throw new Error(`register(${topic}) has to come before encode`);
    const type = readerType(topic);
    let end: number;
    try {
      end = type.encode(value, this.#scratch, HEADER_BYTES);
      if (end < 0) {
        // That many bytes were missing.
        this.#scratch = Buffer.allocUnsafeSlow(this.#scratch.length - end);
        end = type.encode(value, this.#scratch, HEADER_BYTES);
      }
    } catch (error) {
      throw mismatch(topic, type, value, error);
    }
    const framed = Buffer.allocUnsafe(end);
    this.#scratch.copy(framed, 0, 0, end);
    framed[0] = MAGIC;
    framed.writeInt32BE(id, 1);
    return framed;
  }

  /** `register` must have seen the topic. */
  writer(topic: TopicName): ValueWriter {
    const id = this.#writeIds.get(topic);
    if (id === undefined) throw new Error(`register(${topic}) has to come before writer`);
    const type = readerType(topic);
    return {
      encode(value, buffer, at) {
        const body = at + HEADER_BYTES;
        if (body > buffer.length) return body;
        buffer[at] = MAGIC;
        buffer.writeInt32BE(id, at + 1);
        try {
          return type.encode(value, buffer, body);
        } catch (error) {
          throw mismatch(topic, type, value, error);
        }
      },
    };
  }

  /**
   * Fetches the writer schemas that a batch needs, so that `decode` can be synchronous. A writer schema that
   * cannot be read is remembered, and thrown by `decode` for each record that uses it. Keys need it only where
   * `decodeKey` follows.
   * @throws ReachflowError `REGISTRY_UNAVAILABLE` (retry: backoff).
   */
  async load(
    topic: TopicName,
    values: Iterable<Buffer | null>,
    keys: Iterable<Buffer | null> = [],
  ): Promise<void> {
    let readers = this.#readers.get(topic);
    if (readers === undefined) {
      readers = new Map();
      this.#readers.set(topic, readers);
    }
    for (const value of values) {
      const id = value === null ? undefined : schemaIdOf(value);
      if (id === undefined) continue;
      const known = readers.get(id);
      const isFresh = !(known instanceof Unreadable) || known.until > Date.now();
      if (known === undefined || !isFresh) readers.set(id, await this.#reader(topic, id));
    }
    if (topics[topic].keyFormat === 'avro') await this.#loadKeys(topic, keys);
  }

  async #loadKeys(topic: TopicName, keys: Iterable<Buffer | null>): Promise<void> {
    for (const key of keys) {
      const id = key === null ? undefined : schemaIdOf(key);
      if (id === undefined) continue;
      const known = this.#keyTypes.get(id);
      const isFresh = !(known instanceof Unreadable) || known.until > Date.now();
      if (known === undefined || !isFresh) this.#keyTypes.set(id, await this.#keyType(topic, id));
    }
  }

  async #keyType(topic: TopicName, id: number): Promise<Type | Unreadable> {
    try {
      return await this.#registry.writerType(id);
    } catch (error) {
      if (error instanceof ReachflowError && error.retry === 'backoff') throw error;
      return new Unreadable(undecodable(topic, `key schema ${id}: ${errorMessage(error)}`, error));
    }
  }

  async #reader(topic: TopicName, id: number): Promise<Reader | Unreadable> {
    try {
      const writer = await this.#registry.writerType(id);
      const claims = isClaimable(topic) && hasField(writer, 'payload_ref');
      return { writer, resolver: createResolver(topic, writer), claims };
    } catch (error) {
      if (error instanceof ReachflowError && error.retry === 'backoff') throw error;
      return new Unreadable(undecodable(topic, `schema ${id}: ${errorMessage(error)}`, error));
    }
  }

  /**
   * Reads the payloads that values refer to, for `decode`; `load` must have seen the values. Costs a look at the last byte
   * of each where none does, and nothing for a topic without.
   * @param from index of the first value to be decoded.
   * @param budgetBytes ends it early, behind one value at least: the text of a batch can be a thousand times its records.
   * @throws never for what cannot be read: see `Payloads.failure`.
   */
  async payloads(
    topic: TopicName,
    values: readonly (Buffer | null)[],
    from = 0,
    budgetBytes = Number.POSITIVE_INFINITY,
  ): Promise<Payloads> {
    const source = this.#payloads;
    if (source === undefined || !isClaimable(topic)) return new Payloads(values.length);
    const refs = values.map((value, i) => (i < from ? undefined : this.#refOf(topic, value)));
    if (!refs.some((ref) => ref !== undefined)) return new Payloads(values.length);
    return readPayloads(source, refs, from, budgetBytes);
  }

  /** As `payloads`, of all values. @throws ReachflowError what is in the way of the first that cannot be read for now. */
  async allPayloads(topic: TopicName, values: readonly (Buffer | null)[]): Promise<Payloads> {
    const payloads = await this.payloads(topic, values);
    if (payloads.failure !== undefined) throw payloads.failure;
    return payloads;
  }

  /**
   * What values refer to that is kept beside the topic, in their order; `load` must have seen them. For who takes payloads to
   * another place.
   */
  payloadRefs(topic: TopicName, values: readonly (Buffer | null)[]): (PayloadRef | undefined)[] {
    return isClaimable(topic) ? values.map((value) => this.#refOf(topic, value)) : [];
  }

  /** The schema that an id of the registry stands for, as JSON text. @throws as `SchemaRegistryClient.writerType`. */
  async schemaText(id: number): Promise<string> {
    return schemaTextOf(await this.#registry.writerType(id));
  }

  /** What a value refers to; undefined, too, where it cannot be decoded: `decode` says so. */
  #refOf(topic: TopicName, value: Buffer | null): PayloadRef | undefined {
    if (value === null || value.at(-1) === 0) return undefined;
    const reader = this.#readers.get(topic)?.get(schemaIdOf(value) ?? -1);
    if (reader === undefined || reader instanceof Unreadable || !reader.claims) return undefined;
    try {
      const decoded = this.#decode(topic, value) as ClaimableValue;
      return decoded.payload_ref ?? undefined;
    } catch {
      return undefined;
    }
  }

  /**
   * Reads a value, whatever version of the schema wrote it, into the topic's reader schema. Where its payload is
   * elsewhere, it is put in its place: nobody behind the codec sees the difference.
   * `load` must have seen the value. @throws ReachflowError `UNDECODABLE`, `CLAIM_CORRUPT`,
   *   `CLAIM_EXPIRED`, `CLAIM_INVALID`.
   * @param payloads of `payloads`; needed for topics that have some.
   */
  decode<T extends TopicName>(topic: T, value: Buffer, payloads?: Payloads): TopicValue<T> {
    const decoded = this.#decode(topic, value);
    if (isClaimable(topic)) this.#fill(topic, decoded as ClaimableValue, payloads);
    return decoded;
  }

  /** As `decode`, but leaves a payload that is elsewhere where it is. @throws ReachflowError `UNDECODABLE`. */
  decodePlain<T extends TopicName>(topic: T, value: Buffer): TopicValue<T> {
    return this.#decode(topic, value);
  }

  #fill(topic: TopicName, value: ClaimableValue, payloads: Payloads | undefined): void {
    const ref = value.payload_ref;
    value.payload_ref = undefined;
    if (ref === null || ref === undefined) return;
    if (this.#payloads === undefined || payloads === undefined)
      throw new Error(`payloads(${topic}) has to come before decode`);
    value.payload = payloads.of(ref);
  }

  #decode<T extends TopicName>(topic: T, value: Buffer): TopicValue<T> {
    const id = schemaIdOf(value);
    if (id === undefined)
      throw undecodable(topic, 'no Confluent header (magic byte 0 and schema id)');
    const reader = this.#readers.get(topic)?.get(id);
    if (reader === undefined) throw new Error(`load(${topic}) has to come before decode`);
    if (reader instanceof Unreadable) throw reader.error;
    let decoded: { readonly value: unknown; readonly offset: number };
    try {
      // In place: a view for each value costs as much as reading a small one.
      decoded = readerType(topic).decode(value, HEADER_BYTES, reader.resolver);
    } catch (error) {
      throw undecodable(topic, errorMessage(error), error);
    }
    if (decoded.offset !== value.length) {
      throw undecodable(topic, decoded.offset < 0 ? 'it is truncated' : 'it has trailing data');
    }
    return decoded.value as TopicValue<T>;
  }

  /**
   * Reads a record's key as text: a string key as it is, Debezium's key record as its fields' values
   * joined by `/`. `load` must have seen the key. @throws ReachflowError `UNDECODABLE`.
   */
  decodeKey(topic: TopicName, key: Buffer | null): string {
    if (key === null) return '';
    if (topics[topic].keyFormat === 'string') return key.toString('utf8');
    const id = schemaIdOf(key);
    if (id === undefined) throw undecodable(topic, 'its key has no Confluent header');
    const type = this.#keyTypes.get(id);
    if (type === undefined) throw new Error(`load(${topic}) has to come before decodeKey`);
    if (type instanceof Unreadable) throw type.error;
    try {
      const fields: unknown = type.fromBuffer(key.subarray(HEADER_BYTES));
      return Object.values(fields as Record<string, unknown>).join('/');
    } catch (error) {
      throw undecodable(topic, `key: ${errorMessage(error)}`, error);
    }
  }
}
