import { closeSync, fdatasync, fstatSync, openSync, readSync } from 'node:fs';
import { setImmediate } from 'node:timers/promises';
import { promisify } from 'node:util';
import { crc32 } from 'node:zlib';
import { errorCode } from '../errors.ts';
import type { ByteKey, StoredEntry } from './backend.ts';
import { DamagedFile } from './lmdb-file.ts';
import {
  decodeFooter,
  ENTRY_HEADER_BYTES,
  FOOTER_BYTES,
  type Footer,
  INDEX_HEADER_BYTES,
} from './run-format.ts';

/** Blocks checked between turns of the event loop: a ms or two. */
const BLOCKS_PER_TURN = 256;

/**
 * A run that was written by `RunWriter`. The first key of each block is in memory, about half a byte a key; blocks are read
 * by calls, not through a map, so that they are in the page cache but not resident in this process.
 */
export class Run {
  readonly name: string;
  readonly entries: number;
  /** Of the file. */
  readonly bytes: number;
  readonly #file: number;
  readonly #footer: Footer;
  readonly #index: Index;
  /** The block that was read last, for gets. */
  #block = Buffer.alloc(0);
  #blockNumber = -1;

  private constructor(name: string, file: number, parts: Parts) {
    this.name = name;
    this.#file = file;
    this.bytes = parts.fileBytes;
    this.entries = parts.footer.entries;
    this.#footer = parts.footer;
    this.#index = parts.index;
  }

  /** @throws DamagedFile when it is not there, or not what was written; or what the file system throws. */
  static open(path: string, name: string): Run {
    const file = openExisting(path, name);
    try {
      return new Run(name, file, readParts(file));
    } catch (error) {
      closeSync(file);
      throw error;
    }
  }

  /** The words of its filter, a `FilterLayer`. @throws DamagedFile, or what the file system throws. */
  readFilter(): Uint32Array {
    const { blockBytes, filterBytes, filterCrc } = this.#footer;
    const words = new Uint32Array(filterBytes / Uint32Array.BYTES_PER_ELEMENT);
    const bytes = readAt(this.#file, Buffer.from(words.buffer), blockBytes);
    if (crc32(bytes) !== filterCrc) throw new DamagedFile(`the filter of ${this.name} is damaged`);
    return words;
  }

  /** The value of a key; valid until the next call. @throws DamagedFile. */
  get(key: ByteKey): Buffer | undefined {
    const number = this.#index.blockOf(key);
    if (number < 0) return undefined;
    if (number !== this.#blockNumber) {
      const bytes = this.#index.bytesOf(number);
      if (this.#block.length < bytes) this.#block = Buffer.allocUnsafeSlow(2 * bytes);
      this.#blockNumber = -1;
      this.#read(number, this.#block);
      this.#blockNumber = number;
    }
    return valueIn(this.#block, this.#index.bytesOf(number), key);
  }

  /** Entries with `from` <= key < `to`, in order; values stay valid. @throws DamagedFile. */
  *range(from: ByteKey, to?: ByteKey): Generator<StoredEntry, void, undefined> {
    for (
      let number = Math.max(0, this.#index.blockOf(from));
      number < this.#index.blocks;
      number += 1
    ) {
      const block = Buffer.allocUnsafe(this.#index.bytesOf(number));
      this.#read(number, block);
      for (let at = 0; at < block.length; ) {
        const keyEnd = at + ENTRY_HEADER_BYTES + block.readUInt16LE(at);
        const end = keyEnd + block.readUInt32LE(at + 2);
        const key = block.toString('latin1', at + ENTRY_HEADER_BYTES, keyEnd);
        at = end;
        if (key < from) continue;
        if (to !== undefined && key >= to) return;
        yield { key, value: block.subarray(keyEnd, end) };
      }
    }
  }

  #read(number: number, into: Buffer): void {
    const bytes = this.#index.bytesOf(number);
    const read = readSync(this.#file, into, 0, bytes, this.#index.startOf(number));
    if (read < bytes || crc32(into.subarray(0, bytes)) !== this.#index.crcOf(number))
      throw new DamagedFile(`block ${number} of ${this.name} is damaged`);
  }

  /** Reads all of it, with turns of the event loop between. @throws DamagedFile. */
  async verify(): Promise<void> {
    this.readFilter();
    let block = Buffer.alloc(0);
    for (let number = 0; number < this.#index.blocks; number += 1) {
      if (number % BLOCKS_PER_TURN === 0) await setImmediate();
      const bytes = this.#index.bytesOf(number);
      if (block.length < bytes) block = Buffer.allocUnsafeSlow(2 * bytes);
      this.#read(number, block);
    }
  }

  /** Resolves when all of it is on the disk. @throws what the file system throws. */
  async sync(): Promise<void> {
    await promisify(fdatasync)(this.#file);
  }

  close(): void {
    closeSync(this.#file);
  }
}

interface Parts {
  readonly fileBytes: number;
  readonly footer: Footer;
  readonly index: Index;
}

function openExisting(path: string, name: string): number {
  try {
    return openSync(path, 'r');
  } catch (error) {
    if (errorCode(error) === 'ENOENT') throw new DamagedFile(`${name} is missing`);
    throw error;
  }
}

function readParts(file: number): Parts {
  const { size: fileBytes } = fstatSync(file);
  const end = readAt(file, Buffer.alloc(FOOTER_BYTES), Math.max(0, fileBytes - FOOTER_BYTES));
  const footer = decodeFooter(end, fileBytes);
  const { blockBytes, filterBytes, indexBytes, blocks } = footer;
  const index = readAt(file, Buffer.allocUnsafeSlow(indexBytes), blockBytes + filterBytes);
  if (crc32(index) !== footer.indexCrc) throw new DamagedFile('the index of a run is damaged');
  return { fileBytes, footer, index: new Index(index, blocks) };
}

function readAt(file: number, into: Buffer, position: number): Buffer {
  if (readSync(file, into, 0, into.length, position) < into.length)
    throw new DamagedFile('a run is cut off');
  return into;
}

/** Where blocks are, and with which keys they begin. */
class Index {
  readonly blocks: number;
  readonly #bytes: Buffer;
  /** Of each block: where its part of the index is; and where it begins in the file, one more for the end. */
  readonly #at: Uint32Array;
  readonly #starts: Float64Array;

  constructor(bytes: Buffer, blocks: number) {
    this.blocks = blocks;
    this.#bytes = bytes;
    this.#at = new Uint32Array(blocks);
    this.#starts = new Float64Array(blocks + 1);
    let at = 0;
    for (let number = 0; number < blocks; number += 1) {
      this.#at[number] = at;
      this.#starts[number + 1] = this.startOf(number) + bytes.readUInt32LE(at);
      at += INDEX_HEADER_BYTES + bytes.readUInt16LE(at + 8);
    }
  }

  startOf(number: number): number {
    return this.#starts[number] as number;
  }

  bytesOf(number: number): number {
    return this.startOf(number + 1) - this.startOf(number);
  }

  crcOf(number: number): number {
    return this.#bytes.readUInt32LE((this.#at[number] as number) + 4);
  }

  /** The block that has a key if any does; -1 when the key is before all. */
  blockOf(key: ByteKey): number {
    let low = 0;
    let high = this.blocks;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#compare(middle, key) <= 0) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }

  /** Order of a block's first key and a key. */
  #compare(number: number, key: ByteKey): number {
    const bytes = this.#bytes;
    const at = (this.#at[number] as number) + INDEX_HEADER_BYTES;
    const length = bytes.readUInt16LE(at - 2);
    const common = Math.min(length, key.length);
    for (let index = 0; index < common; index += 1) {
      const difference = (bytes[at + index] as number) - key.charCodeAt(index);
      if (difference !== 0) return difference;
    }
    return length - key.length;
  }
}

function valueIn(block: Buffer, bytes: number, key: ByteKey): Buffer | undefined {
  for (let at = 0; at < bytes; ) {
    const keyBytes = (block[at] as number) | ((block[at + 1] as number) << 8);
    const valueBytes = block.readUInt32LE(at + 2);
    const keyAt = at + ENTRY_HEADER_BYTES;
    at = keyAt + keyBytes + valueBytes;
    if (keyBytes === key.length && isKeyAt(block, keyAt, key))
      return block.subarray(at - valueBytes, at);
  }
  return undefined;
}

/** From the end: neighbours have their beginning in common. */
function isKeyAt(block: Buffer, at: number, key: ByteKey): boolean {
  for (let index = key.length - 1; index >= 0; index -= 1) {
    if (block[at + index] !== key.charCodeAt(index)) return false;
  }
  return true;
}
