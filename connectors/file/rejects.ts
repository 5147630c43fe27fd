import { type FileHandle, open } from 'node:fs/promises';
import { ReachflowError } from '../../runtime/errors.ts';
import type { RowPlace } from './readers/reader.ts';

/** A row that was not taken, as a line of the rejects file. */
export interface Reject extends RowPlace {
  readonly reasons: readonly string[];
  /** The row, or its beginning. */
  readonly raw: string;
}

/** Held in memory at most before a transaction has to end, bytes. */
export const MAX_PENDING_BYTES = 4_194_304;

/**
 * The rows that were not taken, one JSON object a line. What is in the file belongs to what is committed: `open` cuts
 * off what came after, and `flush` comes before each commit.
 */
export class RejectsFile {
  readonly path: string;
  readonly #handle: FileHandle;
  #bytes: number;
  #pending: string[] = [];
  #pendingBytes = 0;

  private constructor(path: string, handle: FileHandle, bytes: number) {
    this.path = path;
    this.#handle = handle;
    this.#bytes = bytes;
  }

  /**
   * @param bytes of the file that are committed.
   * @throws ReachflowError `REJECTS_LOST` when the file has fewer: it is another machine's.
   */
  static async open(path: string, bytes: number): Promise<RejectsFile> {
    const handle = await open(path, 'a+');
    try {
      const { size } = await handle.stat();
      if (size < bytes) throw lost(path);
      await handle.truncate(bytes);
      return new RejectsFile(path, handle, bytes);
    } catch (error) {
      await handle.close();
      throw error;
    }
  }

  /** Bytes, those that are not flushed included. */
  get bytes(): number {
    return this.#bytes + this.#pendingBytes;
  }

  get pendingBytes(): number {
    return this.#pendingBytes;
  }

  add({ row, line, reasons, raw }: Reject): void {
    const place = line === 0 ? { row } : { row, line };
    const text = `${JSON.stringify({ ...place, reasons, raw })}\n`;
    this.#pending.push(text);
    this.#pendingBytes += Buffer.byteLength(text);
  }

  /** Resolves when all is on disk; returns the file's bytes. */
  async flush(): Promise<number> {
    if (this.#pending.length === 0) return this.#bytes;
    const text = this.#pending.join('');
    const size = this.#pendingBytes;
    this.#pending = [];
    this.#pendingBytes = 0;
    await this.#handle.appendFile(text);
    await this.#handle.datasync();
    this.#bytes += size;
    return this.#bytes;
  }

  async close(): Promise<void> {
    await this.#handle.close();
  }
}

function lost(path: string): ReachflowError {
  return new ReachflowError(`${path} does not have the rejects of what is imported already`, {
    code: 'REJECTS_LOST',
    domain: 'user',
    hint: 'Go on where the import began: file.directory has them there. Or copy that directory here.',
  });
}
