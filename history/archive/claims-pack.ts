import { createHash, type Hash as Digest } from 'node:crypto';
import { type FileHandle, open } from 'node:fs/promises';
import { promisify } from 'node:util';
import { zstdCompress, zstdDecompress } from 'node:zlib';
import { damaged } from './segment-reader.ts';

const compress = promisify(zstdCompress);
const decompress = promisify(zstdDecompress);

/** SHA-256, then bytes as they are stored. */
const ENTRY_BYTES = 36;
/** A payload has some MB at most. */
const MAX_STORED_BYTES = 67_108_864;

/**
 * Payloads that a segment's records refer to, in one object beside it: they are there as long as the segment, whatever
 * becomes of the storage that they were in, and go with it. Each once a segment.
 */
export class ClaimsPackWriter {
  readonly path: string;
  readonly #file: FileHandle;
  readonly #digest: Digest = createHash('sha256');
  readonly #known = new Set<string>();
  #bytes = 0;

  private constructor(path: string, file: FileHandle) {
    this.path = path;
    this.#file = file;
  }

  static async open(path: string): Promise<ClaimsPackWriter> {
    return new ClaimsPackWriter(path, await open(path, 'wx'));
  }

  get payloads(): number {
    return this.#known.size;
  }

  get bytes(): number {
    return this.#bytes;
  }

  has(sha256: string): boolean {
    return this.#known.has(sha256);
  }

  async add(sha256: string, text: string): Promise<void> {
    if (this.#known.has(sha256)) return;
    this.#known.add(sha256);
    const stored = await compress(Buffer.from(text));
    const entry = Buffer.alloc(ENTRY_BYTES);
    entry.write(sha256, 0, 'hex');
    entry.writeUInt32BE(stored.length, 32);
    const bytes = Buffer.concat([entry, stored]);
    this.#digest.update(bytes);
    await this.#file.writeFile(bytes);
    this.#bytes += bytes.length;
  }

  /** The file is complete then, and closed. */
  async finish(): Promise<{ readonly bytes: number; readonly sha256: string }> {
    await this.#file.close();
    return { bytes: this.#bytes, sha256: this.#digest.digest('hex') };
  }

  /** Idempotent. */
  async discard(): Promise<void> {
    await this.#file.close().catch(() => undefined);
  }
}

/** A payload of a pack. */
export interface PackedClaim {
  readonly sha256: string;
  readonly text: string;
}

/** Payloads of a pack, each compared with its hash. @throws ReachflowError `ARCHIVE_DAMAGED`. */
export async function* claimsOf(
  file: FileHandle,
  name: string,
): AsyncGenerator<PackedClaim, void, undefined> {
  const entry = Buffer.alloc(ENTRY_BYTES);
  for (let at = 0; ; ) {
    const { bytesRead } = await file.read(entry, 0, ENTRY_BYTES, at);
    if (bytesRead === 0) return;
    const length = bytesRead === ENTRY_BYTES ? entry.readUInt32BE(32) : MAX_STORED_BYTES + 1;
    if (length > MAX_STORED_BYTES) throw damaged(name, `no payload begins at byte ${at}`);
    const stored = Buffer.allocUnsafe(length);
    const read = await file.read(stored, 0, length, at + ENTRY_BYTES);
    const sha256 = entry.toString('hex', 0, 32);
    const bytes = read.bytesRead === length ? await decompress(stored) : Buffer.alloc(0);
    if (createHash('sha256').update(bytes).digest('hex') !== sha256)
      throw damaged(name, `the payload at byte ${at} has another hash than ${sha256}`);
    yield { sha256, text: bytes.toString('utf8') };
    at += ENTRY_BYTES + length;
  }
}
