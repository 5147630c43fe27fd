import { mkdir, readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import type { Logger } from 'pino';
import { errorCode, errorMessage, ReachflowError } from '../errors.ts';
import { type DirectoryLock, lockDirectory } from '../state/directory-lock.ts';
import { spoolFull, spoolLocked, spoolUnavailable } from './errors.ts';
import { type ParsedSegment, RECORD_HEADER_BYTES } from './segment-format.ts';
import { readOwnId, SegmentReader } from './segment-reader.ts';
import { parseSegmentName, SegmentWriter, segmentFile } from './segment-writer.ts';

export interface SegmentLogOptions {
  /** Of this log alone; created when it is not there. */
  readonly dir: string;
  /** Most bytes on disk. */
  readonly maxBytes: number;
  /** A segment that has as many bytes is followed by a new one. */
  readonly segmentBytes: number;
  readonly logger: Logger;
}

/** Where a record is, or the next one to read. */
export interface LogPosition {
  /** Id of the segment. */
  readonly segment: string;
  readonly index: number;
}

/** A segment that nothing is added to any more. */
export interface SealedSegment {
  readonly ordinal: number;
  readonly id: string;
  /** Bytes that may be read. */
  readonly bytes: number;
  readonly records: number;
  readonly endIndex: number;
  /** ms since the epoch. */
  readonly createdAt: number;
}

/** What a log holds. */
export interface LogStanding {
  readonly bytes: number;
  readonly records: number;
  /** Since when its oldest segment has been there, ms since the epoch; undefined when it is empty. */
  readonly oldestAt: number | undefined;
  /** Bytes that were damaged and set aside since it was opened. */
  readonly damagedBytes: number;
}

interface Pending {
  readonly payload: Buffer;
  readonly resolve: (position: LogPosition) => void;
  readonly reject: (error: ReachflowError) => void;
}

/** Most bytes of one write and fsync. */
const MAX_GROUP_BYTES = 4_194_304;
/** Most bytes that wait for the disk in memory. */
const MAX_PENDING_BYTES = 67_108_864;
/** After the file system refused, how long nothing is tried, ms. */
const HOLD_MS = 1_000;

/**
 * A durable queue in a directory: records are appended, sealed segments read in order, and trimmed. Many that wait
 * share one fsync. A crash at any byte costs nothing that `append` had resolved: docs/adr/0015-webhook-spool.md.
 */
export class SegmentLog {
  /** Random, of this directory's contents for ever. */
  readonly id: string;
  readonly #options: SegmentLogOptions;
  readonly #lock: DirectoryLock;
  readonly #reader: SegmentReader;
  #sealed: SealedSegment[];
  /** Done with, but still there. */
  readonly #doomed: SealedSegment[] = [];
  /** Of the first sealed segment: records that were trimmed. */
  #trimmed = 0;
  #nextOrdinal: number;
  #writer: SegmentWriter | undefined;
  #pending: Pending[] = [];
  #pendingBytes = 0;
  /** Records of the group that is being written. */
  #writing = 0;
  #sealers: (() => void)[] = [];
  #running: Promise<void> | undefined;
  #failure: { readonly error: ReachflowError; readonly until: number } | undefined;
  #closed = false;

  private constructor(
    id: string,
    options: SegmentLogOptions,
    lock: DirectoryLock,
    reader: SegmentReader,
    sealed: SealedSegment[],
  ) {
    this.id = id;
    this.#options = options;
    this.#lock = lock;
    this.#reader = reader;
    this.#sealed = sealed;
    this.#nextOrdinal = (sealed.at(-1)?.ordinal ?? 0) + 1;
  }

  /**
   * Locks the directory and finds what is in it. What a crash left unfinished is passed over; what was damaged is
   * logged and set aside.
   * @throws ReachflowError `SPOOL_LOCKED` (retry: backoff), `SPOOL_UNAVAILABLE` (retry: backoff).
   */
  static async open(options: SegmentLogOptions): Promise<SegmentLog> {
    const { dir } = options;
    let lock: DirectoryLock | undefined;
    try {
      await mkdir(dir, { recursive: true });
      lock = await lockDirectory(dir);
      const id = await readOwnId(dir);
      const reader = new SegmentReader(dir, options.logger);
      return new SegmentLog(id, options, lock, reader, await recover(dir, reader));
    } catch (error) {
      await lock?.release();
      if (errorCode(error) === 'STATE_LOCKED') throw spoolLocked(dir, error);
      throw error instanceof ReachflowError ? error : spoolUnavailable(dir, error);
    }
  }

  /** True when nothing is in it and nothing waits to be. */
  get isEmpty(): boolean {
    return this.standing.records === 0 && this.#sealed.length === 0;
  }

  get standing(): LogStanding {
    let bytes = this.#pendingBytes + (this.#writer?.bytes ?? 0);
    let records = this.#pending.length + this.#writing + (this.#writer?.records ?? 0);
    records -= this.#trimmed;
    for (const segment of this.#sealed) {
      bytes += segment.bytes;
      records += segment.records;
    }
    const oldestAt = this.#sealed[0]?.createdAt ?? this.#writer?.createdAt;
    const { damagedBytes } = this.#reader;
    return { bytes, records: Math.max(0, records), oldestAt, damagedBytes };
  }

  /**
   * Resolves once the record is on disk. Records get there in the order of the calls.
   * @throws ReachflowError `SPOOL_FULL`, `SPOOL_UNAVAILABLE` (both retry: backoff): the record may be there all the same.
   */
  append(payload: Buffer): Promise<LogPosition> {
    const { dir, maxBytes } = this.#options;
    if (this.#closed) return Promise.reject(spoolUnavailable(dir, new Error('it is closed')));
    if (this.#failure !== undefined && Date.now() < this.#failure.until)
      return Promise.reject(this.#failure.error);
    const bytes = payload.length + RECORD_HEADER_BYTES;
    if (this.standing.bytes + bytes > maxBytes || this.#pendingBytes + bytes > MAX_PENDING_BYTES)
      return Promise.reject(spoolFull(dir, maxBytes));
    return new Promise((resolve, reject) => {
      this.#pending.push({ payload, resolve, reject });
      this.#pendingBytes += bytes;
      this.#kick();
    });
  }

  /** Ends the segment that is being written: what is on disk by now can be read when this resolves. */
  seal(): Promise<void> {
    if (this.#writer === undefined && this.#running === undefined) return Promise.resolve();
    return new Promise((resolve) => {
      this.#sealers.push(resolve);
      this.#kick();
    });
  }

  /** Sealed segments that are not trimmed, oldest first. */
  get segments(): readonly SealedSegment[] {
    return this.#sealed;
  }

  /** Index of the first record of a sealed segment that is not trimmed. */
  trimmedOf(segment: SealedSegment): number {
    return segment === this.#sealed[0] ? this.#trimmed : 0;
  }

  /** Reads a sealed segment, as a whole. @throws ReachflowError `SPOOL_UNAVAILABLE` (retry: backoff). */
  async read(segment: SealedSegment): Promise<ParsedSegment> {
    try {
      return await this.#reader.read(segment, segment.bytes);
    } catch (error) {
      throw spoolUnavailable(this.#options.dir, error);
    }
  }

  /** Everything before a position is done with; segments that lie before it are removed. Unknown ones change nothing. */
  async trim({ segment, index }: LogPosition): Promise<void> {
    const at = this.#sealed.findIndex(({ id }) => id === segment);
    const found = this.#sealed[at];
    if (found === undefined) return;
    const done = this.#sealed.splice(0, index >= found.endIndex ? at + 1 : at);
    this.#trimmed = this.#sealed[0] === found ? index : 0;
    this.#doomed.push(...done);
    await this.#removeDoomed();
  }

  /** What waits is written first. Idempotent. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.seal();
    await this.#running;
    await this.#lock.release();
  }

  #kick(): void {
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined;
      if (this.#pending.length > 0 || this.#sealers.length > 0) this.#kick();
    });
  }

  async #run(): Promise<void> {
    // What comes in the same turn of the event loop shares the fsync.
    await setImmediate();
    while (this.#pending.length > 0 || this.#sealers.length > 0) {
      if (this.#pending.length > 0) await this.#writeGroup();
      const sealers = this.#sealers.splice(0);
      if (sealers.length > 0 || (this.#writer?.bytes ?? 0) >= this.#options.segmentBytes)
        await this.#endSegment();
      for (const resolve of sealers) resolve();
    }
  }

  async #writeGroup(): Promise<void> {
    const group = this.#takeGroup();
    try {
      this.#writer ??= await SegmentWriter.create(this.#options.dir, this.#nextOrdinal++);
      const { id } = this.#writer.name;
      const first = await this.#writer.write(group.map(({ payload }) => payload));
      this.#writing = 0;
      this.#failure = undefined;
      for (const [i, { resolve }] of group.entries()) resolve({ segment: id, index: first + i });
    } catch (error) {
      await this.#refuse(group, error);
    }
  }

  #takeGroup(): Pending[] {
    let bytes = 0;
    let count = 0;
    for (const { payload } of this.#pending) {
      const size = payload.length + RECORD_HEADER_BYTES;
      if (count > 0 && bytes + size > MAX_GROUP_BYTES) break;
      bytes += size;
      count += 1;
    }
    this.#pendingBytes -= bytes;
    this.#writing = count;
    return this.#pending.splice(0, count);
  }

  /** A segment whose write or fsync failed is not written any more: what the kernel has of it cannot be known. */
  async #refuse(group: readonly Pending[], cause: unknown): Promise<void> {
    const { dir, logger } = this.#options;
    const error = spoolUnavailable(dir, cause);
    logger.error({ dir, error: errorMessage(cause) }, 'the spool cannot be written');
    this.#failure = { error, until: Date.now() + HOLD_MS };
    const waiting = this.#pending.splice(0);
    this.#writing = 0;
    this.#pendingBytes = 0;
    for (const { reject } of [...group, ...waiting]) reject(error);
    await this.#endSegment();
  }

  async #endSegment(): Promise<void> {
    const writer = this.#writer;
    if (writer === undefined) return;
    await writer.close();
    this.#writer = undefined;
    const { name, bytes, records, createdAt } = writer;
    const sealed = { ...name, bytes, records, endIndex: records, createdAt };
    if (records > 0) {
      this.#sealed.push(sealed);
      return;
    }
    this.#doomed.push(sealed);
    await this.#removeDoomed();
  }

  /**
   * Oldest first, and none before the ones that are older: a committed position tells of a segment that is found again
   * only as long as the one that it names is there, too.
   */
  async #removeDoomed(): Promise<void> {
    const { dir, logger } = this.#options;
    for (let oldest = this.#doomed[0]; oldest !== undefined; oldest = this.#doomed[0]) {
      try {
        await rm(join(dir, segmentFile(oldest)), { force: true });
      } catch (error) {
        logger.warn({ dir, error: errorMessage(error) }, 'a drained segment cannot be removed');
        return;
      }
      if (this.#doomed[0] === oldest) this.#doomed.shift();
    }
  }
}

async function recover(dir: string, reader: SegmentReader): Promise<SealedSegment[]> {
  const names = (await readdir(dir)).flatMap((file) => parseSegmentName(file) ?? []);
  names.sort((a, b) => a.ordinal - b.ordinal);
  const sealed: SealedSegment[] = [];
  for (const name of names) {
    const { size, mtimeMs } = await stat(join(dir, segmentFile(name)));
    const { records, endIndex } = await reader.read(name, size);
    sealed.push({ ...name, bytes: size, records: records.length, endIndex, createdAt: mtimeMs });
  }
  return sealed;
}
