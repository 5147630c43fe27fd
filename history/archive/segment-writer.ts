import { createHash, type Hash as Digest } from 'node:crypto';
import { type FileHandle, open } from 'node:fs/promises';
import type { LazyRecord } from '../../runtime/kafka/lazy-record.ts';
import { StoredBatch } from '../../runtime/kafka/stored-batch.ts';
import { LeafHasher } from '../leaf.ts';
import { Frontier, type FrontierState } from '../merkle/frontier.ts';
import { toHex } from '../merkle/hash.ts';
import type { Manifest } from './manifest.ts';

/** Bytes of a batch before compression: what a reader holds at a time. */
const BATCH_BYTES = 1_048_576;

/** What a segment has so far. */
export interface WrittenSegment {
  readonly records: number;
  readonly bytes: number;
  readonly minTimestamp: number;
  readonly maxTimestamp: number;
  readonly batches: Manifest['batches'];
  readonly log: { readonly bytes: number; readonly sha256: string };
}

/** Writes committed records to a local file, batch by batch, and goes on with the tree. */
export class SegmentWriter {
  readonly path: string;
  /** The tree before the first record. */
  readonly before: FrontierState;
  readonly tree: Frontier;
  readonly #file: FileHandle;
  readonly #digest: Digest = createHash('sha256');
  readonly #hasher = new LeafHasher();
  readonly #batch = new StoredBatch();
  readonly #batches: Manifest['batches'] = [];
  #leaves = new Frontier();
  #fileBytes = 0;
  #records = 0;
  #bytes = 0;
  #minTimestamp = Number.POSITIVE_INFINITY;
  #maxTimestamp = Number.NEGATIVE_INFINITY;

  private constructor(path: string, file: FileHandle, before: FrontierState) {
    this.path = path;
    this.#file = file;
    this.before = before;
    this.tree = new Frontier(before);
  }

  /** @param path of a file that is not there yet. */
  static async open(path: string, before: FrontierState): Promise<SegmentWriter> {
    return new SegmentWriter(path, await open(path, 'wx'), before);
  }

  get records(): number {
    return this.#records;
  }

  /** Of keys, values and headers so far. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Timestamp of the oldest record, ms since the epoch. */
  get minTimestamp(): number {
    return this.#minTimestamp;
  }

  async add(records: readonly LazyRecord[]): Promise<void> {
    for (const record of records) {
      if (this.#batch.bytes >= BATCH_BYTES || !this.#batch.takes(record)) await this.#flush();
      const leaf = this.#hasher.hash(record);
      this.tree.append(leaf);
      this.#leaves.append(leaf);
      this.#batch.append(record);
      this.#records += 1;
      this.#bytes += record.bytes;
      this.#minTimestamp = Math.min(this.#minTimestamp, record.timestamp);
      this.#maxTimestamp = Math.max(this.#maxTimestamp, record.timestamp);
    }
  }

  async #flush(): Promise<void> {
    const [first, last] = this.#batch.range;
    const root = toHex(this.#leaves.root());
    this.#batches.push({ first, last, records: this.#batch.count, root });
    this.#leaves = new Frontier();
    const bytes = await this.#batch.take();
    this.#digest.update(bytes);
    await this.#file.writeFile(bytes);
    this.#fileBytes += bytes.length;
  }

  /** Writes what is left; the file is complete then, and closed. */
  async finish(): Promise<WrittenSegment> {
    if (this.#batch.count > 0) await this.#flush();
    await this.#file.close();
    return {
      records: this.#records,
      bytes: this.#bytes,
      minTimestamp: this.#minTimestamp,
      maxTimestamp: this.#maxTimestamp,
      batches: this.#batches,
      log: { bytes: this.#fileBytes, sha256: this.#digest.digest('hex') },
    };
  }

  /** Lets go of the file where it is not finished. Idempotent. */
  async discard(): Promise<void> {
    await this.#file.close().catch(() => undefined);
  }
}
