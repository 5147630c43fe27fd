import avro from 'avsc';
import { readerSchemaText, readerType, type Type } from '../../schemas/avro.ts';
import { TopicCodec } from '../../schemas/codec.ts';
import type { SchemaRegistryClient } from '../../schemas/registry.ts';
import { type TopicName, type TopicValue, topicNames, topics } from '../../schemas/topics.ts';
import { ReachflowError } from '../errors.ts';

/** Key of a change record, as Debezium makes them of a table with one column as its primary key. */
const KEY = avro.Type.forSchema({
  type: 'record',
  name: 'Key',
  fields: [{ name: 'id', type: 'string' }],
});
const KEY_ID = 1;
const FIRST_ID = 100;

/** The codec of production over a registry in memory, which can also write what others write in production. */
export class MemoryCodec {
  readonly codec: TopicCodec;
  readonly #types = new Map<number, Type>([[KEY_ID, KEY]]);
  readonly #ids = new Map<TopicName, number>();

  private constructor() {
    for (const [i, topic] of topicNames.entries()) this.#ids.set(topic, FIRST_ID + i);
    for (const [topic, id] of this.#ids) this.#types.set(id, writerType(topic));
    this.codec = new TopicCodec(this.#registry(), (topic) => topic);
  }

  /** With the schemas of all topics of the map. */
  static async create(): Promise<MemoryCodec> {
    const codec = new MemoryCodec();
    await codec.codec.register(topicNames);
    return codec;
  }

  #registry(): SchemaRegistryClient {
    return {
      register: (subject) => {
        const id = this.#ids.get(subject.replace(/-value$/, '') as TopicName);
        if (id === undefined) throw new Error(`no topic has the subject ${subject}`);
        return Promise.resolve(id);
      },
      writerType: (id) => {
        const type = this.#types.get(id);
        if (type !== undefined) return Promise.resolve(type);
        const options = { code: 'SCHEMA_UNKNOWN', domain: 'external' } as const;
        return Promise.reject(
          new ReachflowError(`schema id ${id} is not in the registry`, options),
        );
      },
    };
  }

  /** Value bytes of a topic, also of those that Debezium writes. @throws ReachflowError `SCHEMA_MISMATCH`. */
  encode<T extends TopicName>(topic: T, value: TopicValue<T>): Buffer {
    if (topics[topic].schemaOwner === 'reachflow') return this.codec.encode(topic, value);
    return framed(this.#ids.get(topic) ?? 0, readerType(topic).toBuffer(value));
  }

  /** Key bytes of a topic: text, or Debezium's key record with `key` as its only field. */
  encodeKey(topic: TopicName, key: string | null): Buffer | null {
    if (key === null) return null;
    if (topics[topic].keyFormat === 'string') return Buffer.from(key);
    return framed(KEY_ID, KEY.toBuffer({ id: key }));
  }

  /** What a step wrote to a topic. */
  decode<T extends TopicName>(topic: T, bytes: Buffer): TopicValue<T> {
    return readerType(topic).fromBuffer(bytes.subarray(5)) as TopicValue<T>;
  }
}

/** A writer's schema is that of the `.avsc`; the reader's resolver makes of it what production reads. */
function writerType(topic: TopicName): Type {
  return avro.Type.forSchema(JSON.parse(readerSchemaText(topic)));
}

/** Confluent's wire format. */
function framed(id: number, body: Buffer): Buffer {
  const bytes = Buffer.allocUnsafe(5 + body.length);
  bytes[0] = 0;
  bytes.writeInt32BE(id, 1);
  body.copy(bytes, 5);
  return bytes;
}
