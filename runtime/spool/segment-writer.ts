import { randomBytes } from 'node:crypto';
import { type FileHandle, open } from 'node:fs/promises';
import { join } from 'node:path';
import { encodeGroup, SEGMENT_ID_BYTES } from './segment-format.ts';

const SUFFIX = '.segment';
const NAME = /^(\d{12})-([0-9a-f]{16})\.segment$/;

/** A file of the log, as its name tells. */
export interface SegmentName {
  readonly ordinal: number;
  /** Hexadecimal; of this segment alone, wherever it is copied to. */
  readonly id: string;
}

export function segmentFile({ ordinal, id }: SegmentName): string {
  return `${String(ordinal).padStart(12, '0')}-${id}${SUFFIX}`;
}

/** Undefined for a file that is no segment. */
export function parseSegmentName(file: string): SegmentName | undefined {
  const [, ordinal, id] = NAME.exec(file) ?? [];
  return ordinal === undefined || id === undefined ? undefined : { ordinal: Number(ordinal), id };
}

/** Makes what was created or removed in a directory survive a power failure. */
export async function syncDirectory(dir: string): Promise<void> {
  const handle = await open(dir, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** The segment that is being written. One `write` at a time; after one that failed, only `close`. */
export class SegmentWriter {
  readonly name: SegmentName;
  readonly createdAt = Date.now();
  readonly #handle: FileHandle;
  readonly #id: Buffer;
  #records = 0;
  #bytes = 0;

  private constructor(name: SegmentName, handle: FileHandle) {
    this.name = name;
    this.#handle = handle;
    this.#id = Buffer.from(name.id, 'hex');
  }

  /** Creates a new file, of which the directory knows durably. @throws what the file system throws. */
  static async create(dir: string, ordinal: number): Promise<SegmentWriter> {
    const name = { ordinal, id: randomBytes(SEGMENT_ID_BYTES).toString('hex') };
    const handle = await open(join(dir, segmentFile(name)), 'wx');
    try {
      await syncDirectory(dir);
    } catch (error) {
      await handle.close();
      throw error;
    }
    return new SegmentWriter(name, handle);
  }

  /** Records on disk. */
  get records(): number {
    return this.#records;
  }

  /** Bytes on disk: what is behind them in the file is not to be trusted. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Writes records and one fsync behind them. @returns the index of the first. @throws what the file system throws. */
  async write(payloads: readonly Buffer[]): Promise<number> {
    const first = this.#records;
    const group = encodeGroup(this.#id, first, payloads);
    for (let at = 0; at < group.length; ) {
      const { bytesWritten } = await this.#handle.write(
        group,
        at,
        group.length - at,
        this.#bytes + at,
      );
      at += bytesWritten;
    }
    await this.#handle.datasync();
    this.#bytes += group.length;
    this.#records += payloads.length;
    return first;
  }

  /** Cuts off what a failed write may have left, as far as the file system lets it. */
  async close(): Promise<void> {
    await this.#handle.truncate(this.#bytes).catch(() => undefined);
    await this.#handle.close().catch(() => undefined);
  }
}
