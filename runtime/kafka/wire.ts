import type { Connection } from './kafkajs-internals.ts';

/** A request that we encode and whose response we decode ourselves: KafkaJS only carries it. */
export interface WireRequest {
  readonly api: WireApi;
  /** Everything behind the request header; written to the socket as it is, without a copy. */
  readonly body: readonly Buffer[];
  /** How long the broker may hold the response back on top of the client's timeout, ms. */
  readonly waitMs?: number;
}

/** The requests that we encode, each in the one version that we speak. */
export interface WireApi {
  readonly key: number;
  readonly version: number;
  readonly name: string;
  /** Its header ends with tagged fields, as does that of its response, which is left in the payload (KIP-482). */
  readonly isFlexible?: boolean;
}

/** Version 7: Kafka 2.1 and newer, up to and including 4.x. */
export const PRODUCE: WireApi = { key: 0, version: 7, name: 'Produce' };
/** Version 11: Kafka 2.3 and newer, up to and including 4.x. */
export const FETCH: WireApi = { key: 1, version: 11, name: 'Fetch' };
/** Version 5: Kafka 1.0 and newer, up to and including 4.x. */
export const METADATA: WireApi = { key: 3, version: 5, name: 'Metadata' };

/**
 * Sends a request and resolves with its response, without the response header.
 * @throws KafkaJS's connection errors.
 */
export async function exchange(
  connection: Connection,
  clientId: string,
  { api, body, waitMs }: WireRequest,
): Promise<Buffer> {
  if (!connection.isAuthenticated()) await connection.authenticate();
  const correlationId = connection.nextCorrelationId();
  const head = new WireWriter(64 + clientId.length * 3);
  let bytes = 0;
  for (const part of body) bytes += part.length;
  head.int32(0).int16(api.key).int16(api.version).int32(correlationId).string(clientId);
  if (api.isFlexible === true) head.uvarint(0);
  const header = head.done();
  header.writeInt32BE(header.length - 4 + bytes, 0);
  const { promise, resolve, reject } = Promise.withResolvers<{ readonly payload: Buffer }>();
  const entry = {
    apiKey: api.key,
    apiName: api.name,
    apiVersion: api.version,
    correlationId,
    resolve,
    reject,
  };
  connection.requestQueue.push({
    entry,
    expectResponse: true,
    requestTimeout: waitMs === undefined ? null : waitMs + 30_000,
    sendRequest: () => {
      const { socket } = connection;
      socket.cork();
      socket.write(header);
      for (const part of body) socket.write(part);
      socket.uncork();
    },
  });
  return (await promise).payload;
}

/** Writes the protocol's primitive types; grows as needed. */
export class WireWriter {
  #buffer: Buffer;
  #at = 0;

  constructor(bytes: number) {
    this.#buffer = Buffer.allocUnsafe(bytes);
  }

  int8(value: number): this {
    this.#reserve(1);
    this.#at = this.#buffer.writeInt8(value, this.#at);
    return this;
  }

  int16(value: number): this {
    this.#reserve(2);
    this.#at = this.#buffer.writeInt16BE(value, this.#at);
    return this;
  }

  int32(value: number): this {
    this.#reserve(4);
    this.#at = this.#buffer.writeInt32BE(value, this.#at);
    return this;
  }

  int64(value: bigint): this {
    this.#reserve(8);
    this.#at = this.#buffer.writeBigInt64BE(value, this.#at);
    return this;
  }

  string(value: string | null): this {
    if (value === null) return this.int16(-1);
    const bytes = Buffer.byteLength(value);
    this.int16(bytes).#reserve(bytes);
    this.#at += this.#buffer.write(value, this.#at);
    return this;
  }

  /** Unsigned, seven bits a byte. */
  uvarint(value: number): this {
    let rest = value;
    this.#reserve(5);
    for (; rest > 0x7f; rest >>>= 7)
      this.#at = this.#buffer.writeUInt8((rest & 0x7f) | 0x80, this.#at);
    this.#at = this.#buffer.writeUInt8(rest, this.#at);
    return this;
  }

  compactString(value: string): this {
    const bytes = Buffer.byteLength(value);
    this.uvarint(bytes + 1).#reserve(bytes);
    this.#at += this.#buffer.write(value, this.#at);
    return this;
  }

  /** What was written; the writer is of no further use. */
  done(): Buffer {
    return this.#buffer.subarray(0, this.#at);
  }

  #reserve(bytes: number): void {
    if (this.#at + bytes <= this.#buffer.length) return;
    const larger = Buffer.allocUnsafe(Math.max(this.#buffer.length * 2, this.#at + bytes));
    this.#buffer.copy(larger, 0, 0, this.#at);
    this.#buffer = larger;
  }
}

/** Reads the protocol's primitive types one after the other. @throws RangeError behind the end. */
export class WireReader {
  readonly #buffer: Buffer;
  #at = 0;

  constructor(buffer: Buffer) {
    this.#buffer = buffer;
  }

  int8(): number {
    return this.#buffer.readInt8(this.#skip(1));
  }

  int16(): number {
    return this.#buffer.readInt16BE(this.#skip(2));
  }

  int32(): number {
    return this.#buffer.readInt32BE(this.#skip(4));
  }

  int64(): bigint {
    return this.#buffer.readBigInt64BE(this.#skip(8));
  }

  /** Null is read as the empty string. */
  string(): string {
    const bytes = this.int16();
    return bytes <= 0 ? '' : this.#buffer.toString('utf8', this.#skip(bytes), this.#at);
  }

  /** A view of the next bytes, not a copy; empty where the length is -1. */
  bytes(): Buffer {
    const length = this.int32();
    return length <= 0 ? EMPTY : this.#buffer.subarray(this.#skip(length), this.#at);
  }

  /** Calls `read` for each element of an array; null is read as an empty one. */
  array<T>(read: () => T): T[] {
    const length = this.int32();
    const items: T[] = [];
    for (let i = 0; i < length; i += 1) items.push(read());
    return items;
  }

  uvarint(): number {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = this.#buffer.readUInt8(this.#skip(1));
      value |= (byte & 0x7f) << shift;
      if (byte <= 0x7f) return value >>> 0;
    }
  }

  /** Null is read as the empty string. */
  compactString(): string {
    return this.view(Math.max(0, this.uvarint() - 1)).toString('utf8');
  }

  /** As `array`. */
  compactArray<T>(read: () => T): T[] {
    const items: T[] = [];
    for (let left = this.uvarint() - 1; left > 0; left -= 1) items.push(read());
    return items;
  }

  /** Passes over tagged fields. */
  tags(): void {
    for (let left = this.uvarint(); left > 0; left -= 1) {
      this.uvarint();
      this.view(this.uvarint());
    }
  }

  /** The next bytes, not a copy. @throws RangeError behind the end. */
  view(bytes: number): Buffer {
    const at = this.#skip(bytes);
    if (this.#at > this.#buffer.length) throw new RangeError('the message ends before');
    return this.#buffer.subarray(at, this.#at);
  }

  #skip(bytes: number): number {
    const at = this.#at;
    this.#at += bytes;
    return at;
  }
}

const EMPTY = Buffer.alloc(0);
