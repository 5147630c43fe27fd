import { readFileSync } from 'node:fs';
import avro from 'avsc';
import { type TopicName, topics } from './topics.ts';

const { LongType } = avro.types;

function bigintToBuffer(value: unknown): Buffer {
  const buffer = Buffer.alloc(8);
  buffer.writeBigInt64LE(value as bigint);
  return buffer;
}

/** A 64-bit `long` as bigint: for LSNs and versions, which may exceed 2^53. */
const bigintLong = LongType.__with({
  fromBuffer: (buffer: Buffer) => buffer.readBigInt64LE(),
  toBuffer: bigintToBuffer,
  fromJSON: (value: number | string) => BigInt(value),
  toJSON: (value: bigint) => Number(value),
  isValid: (value: unknown) => typeof value === 'bigint',
  compare: (a: bigint, b: bigint) => (a < b ? -1 : a > b ? 1 : 0),
} as unknown as Parameters<typeof LongType.__with>[0]);

/** The JSON text of a topic's `.avsc`. */
export function readerSchemaText(topic: TopicName): string {
  return readFileSync(new URL(`./avro/${topics[topic].schema}.avsc`, import.meta.url), 'utf8');
}

const readerTypes = new Map<TopicName, avro.Type>();

/** The Avro type that our code reads and writes a topic's values in. Cached. */
export function readerType(topic: TopicName): avro.Type {
  let type = readerTypes.get(topic);
  if (type === undefined) {
    type = avro.Type.forSchema(JSON.parse(readerSchemaText(topic)), {
      typeHook: (schema) =>
        typeof schema === 'object' && 'logicalType' in schema && schema.logicalType === 'bigint'
          ? bigintLong
          : undefined,
    });
    readerTypes.set(topic, type);
  }
  return type;
}

/** The plain Avro type of a schema's JSON text, `long` as number. @throws Error when it is no schema. */
export function plainType(text: string): avro.Type {
  return avro.Type.forSchema(JSON.parse(text));
}

/** A schema as JSON text, defaults and logical types included. */
export function schemaTextOf(type: avro.Type): string {
  return JSON.stringify(type.schema({ exportAttrs: true }));
}

/**
 * A resolver that reads `writer`'s bytes into the topic's reader type (Avro specification, Schema Resolution).
 * Record names are compared without their namespace: Debezium's carries the topic prefix.
 * @throws Error naming both types when no resolution exists.
 */
export function createResolver(topic: TopicName, writer: avro.Type): avro.Resolver {
  const options = { ignoreNamespaces: true } as unknown as never;
  return (readerType(topic).createResolver as (w: avro.Type, o: never) => avro.Resolver)(
    writer,
    options,
  );
}

/** Whether a record's schema has a field of that name. */
export function hasField(type: avro.Type, name: string): boolean {
  return type instanceof avro.types.RecordType && type.fields.some((field) => field.name === name);
}

export type { Resolver, Type } from 'avsc';
