/** Smallest buffer that is handed out, bytes; each size class has four times as much as the one before. */
const SMALLEST = 16_384;
const CLASSES = 5;

/**
 * Buffers that record batches are written into, kept for the next ones: a fresh megabyte costs more in page faults
 * and garbage collection than filling it. What is kept is bounded; what is larger than the largest class (4 MB) is
 * not kept.
 */
export class BufferPool {
  readonly #maxBytes: number;
  readonly #free: Buffer[][] = Array.from({ length: CLASSES }, () => []);
  #kept = 0;

  /** @param maxBytes most bytes that lie unused in the pool. */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** A buffer of at least `bytes` bytes, with anything in it. */
  take(bytes: number): Buffer {
    let size = SMALLEST;
    for (let i = 0; i < CLASSES; i += 1, size *= 4) {
      if (bytes > size) continue;
      const found = this.#free[i]?.pop();
      if (found === undefined) return Buffer.allocUnsafeSlow(size);
      this.#kept -= size;
      return found;
    }
    return Buffer.allocUnsafeSlow(bytes);
  }

  /** Takes a buffer back. The caller must not touch it any more, nor a socket that has yet to send it. */
  give(buffer: Buffer): void {
    if (this.#kept + buffer.length > this.#maxBytes) return;
    let size = SMALLEST;
    for (let i = 0; i < CLASSES; i += 1, size *= 4) {
      if (buffer.length !== size) continue;
      this.#free[i]?.push(buffer);
      this.#kept += size;
      return;
    }
  }
}
