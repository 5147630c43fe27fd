import { deserialize, serialize } from 'node:v8';

/** Turns a store's values into bytes and back. The bytes are in stores, changelogs and checkpoints: they must stay readable. */
export interface Serde<V> {
  encode(value: V): Buffer;
  /** @param bytes valid during the call only: copy what is kept of them. */
  decode(bytes: Buffer): V;
  /** For values that always take the same number of bytes: written in place, without a buffer of their own. */
  readonly fixed?: {
    readonly bytes: number;
    write(value: V, target: Buffer, offset: number): void;
  };
}

/** JSON values: no bigint, no undefined, no Date. */
export function jsonSerde<V>(): Serde<V> {
  return {
    encode: (value) => Buffer.from(JSON.stringify(value)),
    decode: (bytes) => JSON.parse(bytes.toString('utf8')) as V,
  };
}

/** Structured clone: also bigint, Date, Map, Set, typed arrays. Written and read by V8 only. */
export function structuredSerde<V>(): Serde<V> {
  return { encode: (value) => serialize(value), decode: (bytes) => deserialize(bytes) as V };
}

/** A double. */
export const numberSerde: Serde<number> = {
  encode: (value) => {
    const bytes = Buffer.allocUnsafe(8);
    bytes.writeDoubleBE(value, 0);
    return bytes;
  },
  decode: (bytes) => bytes.readDoubleBE(0),
  fixed: { bytes: 8, write: (value, target, offset) => void target.writeDoubleBE(value, offset) },
};

/** UTF-8 text. */
export const textSerde: Serde<string> = {
  encode: (value) => Buffer.from(value, 'utf8'),
  decode: (bytes) => bytes.toString('utf8'),
};

/** Bytes as they are. */
export const bytesSerde: Serde<Buffer> = {
  encode: (value) => value,
  decode: (bytes) => Buffer.from(bytes),
};
