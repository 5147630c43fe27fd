import { createHash, createHmac } from 'node:crypto';

/** Secret of an HMAC, and data to hash, as the client gives them. */
type Source = string | ArrayBuffer | ArrayBufferView;

/** Below this a hash takes less time than handing it to a thread. */
const LARGE_BYTES = 65_536;

function bytesOf(source: Source): Buffer {
  if (typeof source === 'string') return Buffer.from(source, 'utf8');
  if (source instanceof ArrayBuffer) return Buffer.from(source);
  return Buffer.from(source.buffer, source.byteOffset, source.byteLength);
}

/**
 * SHA-256 for the client's signatures. Its own hashes the body of a request, a part of some MB, on the event loop, and
 * all tasks stand still for tens of ms; this does it on a thread of the pool.
 */
export class PoolSha256 {
  readonly #secret: Buffer | undefined;
  #chunks: Buffer[] = [];

  constructor(secret?: Source) {
    this.#secret = secret === undefined ? undefined : bytesOf(secret);
  }

  update(chunk: Source): void {
    this.#chunks.push(bytesOf(chunk));
  }

  async digest(): Promise<Uint8Array> {
    const [only = Buffer.alloc(0), ...more] = this.#chunks;
    const bytes = more.length === 0 ? only : Buffer.concat(this.#chunks);
    if (this.#secret !== undefined)
      return createHmac('sha256', this.#secret).update(bytes).digest();
    if (bytes.length < LARGE_BYTES) return createHash('sha256').update(bytes).digest();
    // Nobody gives us shared memory.
    return new Uint8Array(await crypto.subtle.digest('SHA-256', bytes as Buffer<ArrayBuffer>));
  }

  reset(): void {
    this.#chunks = [];
  }
}
