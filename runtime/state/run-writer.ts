import { closeSync, openSync, rmSync, writeSync } from 'node:fs';
import { crc32 } from 'node:zlib';
import type { ByteKey } from './backend.ts';
import { FilterLayer, hashOf } from './key-filter.ts';
import { ENTRY_HEADER_BYTES, encodeFooter, INDEX_HEADER_BYTES } from './run-format.ts';

/** A block ends with the entry that reaches this: what one lookup reads. */
const BLOCK_BYTES = 4_096;
/** Blocks written with one call. */
const CHUNK_BYTES = 256 * 1024;
/** At least, as filters have lengths that are powers of two: see `FilterLanes`. Of keys that are not there 1 in 150 passes then. */
const MIN_FILTER_BITS_PER_KEY = 12;

/** Grows as it is written to. */
class Bytes {
  buffer: Buffer;
  length = 0;

  constructor(capacity: number) {
    this.buffer = Buffer.allocUnsafeSlow(capacity);
  }

  /** Room for `bytes`, which count from now on; returns where. */
  reserve(bytes: number): number {
    const at = this.length;
    this.length += bytes;
    if (this.length > this.buffer.length) {
      const larger = Buffer.allocUnsafeSlow(2 * this.length);
      this.buffer.copy(larger, 0, 0, at);
      this.buffer = larger;
    }
    return at;
  }
}

/** Writes a run: `add` in order of keys, then `finish`. After a throw of either it is of no use: `abandon` it. */
export class RunWriter {
  readonly path: string;
  readonly #file: number;
  readonly #filter: FilterLayer;
  readonly #chunk = new Bytes(CHUNK_BYTES + 2 * BLOCK_BYTES);
  readonly #index = new Bytes(16_384);
  #written = 0;
  #blockStart = 0;
  #firstKey: ByteKey | undefined;
  #entries = 0;
  #blocks = 0;
  #open = true;

  /** @param entries as many as will be added, or a few more. */
  constructor(path: string, entries: number) {
    this.path = path;
    const bits = 2 ** Math.ceil(Math.log2(Math.max(1, entries) * MIN_FILTER_BITS_PER_KEY));
    this.#filter = FilterLayer.sized(bits, 1);
    this.#file = openSync(path, 'wx');
  }

  /** @throws what the file system throws. */
  add(key: ByteKey, value: Buffer): void {
    this.#firstKey ??= key;
    const at = this.#chunk.reserve(ENTRY_HEADER_BYTES + key.length + value.length);
    const { buffer } = this.#chunk;
    buffer.writeUInt16LE(key.length, at);
    buffer.writeUInt32LE(value.length, at + 2);
    buffer.write(key, at + ENTRY_HEADER_BYTES, 'latin1');
    value.copy(buffer, at + ENTRY_HEADER_BYTES + key.length);
    this.#filter.add(hashOf(key));
    this.#entries += 1;
    if (this.#chunk.length - this.#blockStart >= BLOCK_BYTES) this.#endBlock();
  }

  #endBlock(): void {
    const first = this.#firstKey;
    if (first === undefined) return;
    const block = this.#chunk.buffer.subarray(this.#blockStart, this.#chunk.length);
    const at = this.#index.reserve(INDEX_HEADER_BYTES + first.length);
    const { buffer } = this.#index;
    buffer.writeUInt32LE(block.length, at);
    buffer.writeUInt32LE(crc32(block), at + 4);
    buffer.writeUInt16LE(first.length, at + 8);
    buffer.write(first, at + INDEX_HEADER_BYTES, 'latin1');
    this.#blocks += 1;
    this.#firstKey = undefined;
    if (this.#chunk.length >= CHUNK_BYTES) this.#writeChunk();
    this.#blockStart = this.#chunk.length;
  }

  #writeChunk(): void {
    this.#write(this.#chunk.buffer.subarray(0, this.#chunk.length));
    this.#chunk.length = 0;
  }

  #write(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; ) {
      at += writeSync(this.#file, bytes, at, bytes.length - at, this.#written + at);
    }
    this.#written += bytes.length;
  }

  /** Writes the rest; the file is complete, though not synced. @throws what the file system throws. */
  finish(): void {
    this.#endBlock();
    this.#writeChunk();
    const blockBytes = this.#written;
    const filter = this.#filter.bytes;
    const index = this.#index.buffer.subarray(0, this.#index.length);
    this.#write(filter);
    this.#write(index);
    this.#write(
      encodeFooter({
        entries: this.#entries,
        blocks: this.#blocks,
        blockBytes,
        filterBytes: filter.length,
        indexBytes: index.length,
        filterCrc: crc32(filter),
        indexCrc: crc32(index),
      }),
    );
    this.#close();
  }

  /** Removes what was written. */
  abandon(): void {
    this.#close();
    rmSync(this.path, { force: true });
  }

  #close(): void {
    if (!this.#open) return;
    this.#open = false;
    closeSync(this.#file);
  }
}
