import { ReachflowError } from '../../runtime/errors.ts';
import type { EpochBatches } from '../../runtime/kafka/epoch-batches.ts';
import type { PositionedProducer } from '../../runtime/kafka/positioned-producer.ts';
import type { TopicCodec } from '../../schemas/codec.ts';
import type { FileImportChanged } from '../../schemas/types.ts';
import { type FileStamp, isUnchanged } from './identity.ts';
import type { ImportOptions } from './import-options.ts';
import { IMPORTS_TOPIC, type ImportState, toPosition } from './import-state.ts';
import { RowMapper } from './mapping/row-mapper.ts';
import { openReader } from './readers/open-reader.ts';
import { FILE_START, type FilePosition, type RowReader } from './readers/reader.ts';
import { MAX_PENDING_BYTES, RejectsFile } from './rejects.ts';
import { RowRecords } from './row-records.ts';
import { RowTaker } from './row-taker.ts';

/** Bytes of records that a transaction has before it ends: the next is filled meanwhile. */
const EPOCH_BYTES = 8_388_608;
/** And rows, where most are rejected. */
const EPOCH_ROWS = 100_000;
const PROGRESS_MS = 200;

export interface ImportRunOptions extends ImportOptions {
  readonly name: string;
  readonly codec: TopicCodec;
  readonly producer: PositionedProducer;
  readonly stamp: FileStamp;
  readonly importId: string;
  readonly rejectsPath: string;
  /** What is committed; undefined for a new import. */
  readonly start: ImportState | undefined;
  /** After each commit. */
  readonly onCommitted: (rows: number) => void;
}

/**
 * One pass over what is left of a file: rows into transactions, each with the position that it comes to. One is
 * committed while the next is filled.
 * @throws as `importFile`. What was committed stays.
 */
export async function runImport(
  options: ImportRunOptions,
): Promise<{ rows: number; rejected: number }> {
  const { path, name, map, start, rejectsPath } = options;
  const reader = await openReader(path, name, map);
  const mapper = new RowMapper(map, reader.kind === 'objects' ? undefined : reader.columns);
  const rejects = await RejectsFile.open(rejectsPath, start?.rejectsBytes ?? 0);
  try {
    return await new ImportRun(options, reader, mapper, rejects).run();
  } finally {
    // After a failure, too: people read them to see why; what is not committed is cut off by the next run.
    await rejects.flush();
    await rejects.close();
  }
}

class ImportRun {
  readonly #options: ImportRunOptions;
  readonly #reader: RowReader;
  readonly #rejects: RejectsFile;
  readonly #taker: RowTaker;
  readonly #startedAt: number;
  #isFirst: boolean;
  #batches: EpochBatches;
  #committing: Promise<void> | undefined;
  #committedRows: number;
  #shownAt = 0;

  constructor(
    options: ImportRunOptions,
    reader: RowReader,
    mapper: RowMapper,
    rejects: RejectsFile,
  ) {
    const { map, importId, name, codec, producer, start, maxRejects } = options;
    this.#options = options;
    this.#reader = reader;
    this.#rejects = rejects;
    this.#startedAt = start?.startedAt ?? Date.now();
    this.#isFirst = start === undefined;
    this.#committedRows = start?.position.rows ?? 0;
    const identity = { importId, file: name, startedAt: this.#startedAt };
    const records = new RowRecords(map, identity, mapper, codec, producer);
    this.#batches = producer.begin();
    this.#taker = new RowTaker({
      mapper,
      records,
      rejects,
      maxRejects,
      batches: this.#batches,
      rejected: start?.rejected ?? 0,
    });
  }

  async run(): Promise<{ rows: number; rejected: number }> {
    const { start, path, stamp } = this.#options;
    let position = start?.position ?? FILE_START;
    try {
      for await (position of this.#reader.read(position, this.#taker)) {
        this.#checkSignal();
        this.#taker.now = Date.now();
        if (this.#isDue(position)) await this.#commit(position, false);
        this.#show(position);
      }
      await this.#committing;
      // What was read while somebody wrote to it is neither the old file nor the new one.
      if (!(await isUnchanged(path, stamp))) throw changed(path);
      await this.#commit(position, true);
      await this.#committing;
    } finally {
      // Nothing may be under way when the producer is closed; what failed is thrown above.
      await this.#committing?.catch(() => undefined);
    }
    this.#shownAt = 0;
    this.#show(position);
    return { rows: position.rows, rejected: this.#taker.rejected };
  }

  #isDue({ rows }: FilePosition): boolean {
    if (this.#rejects.pendingBytes >= MAX_PENDING_BYTES) return true;
    return this.#batches.bytes >= EPOCH_BYTES || rows - this.#committedRows >= EPOCH_ROWS;
  }

  /** Hands the batches over to be committed, once those before are. @throws why those before are not. */
  async #commit(position: FilePosition, finished: boolean): Promise<void> {
    await this.#committing;
    const rejectsBytes = await this.#rejects.flush();
    const { producer, onCommitted } = this.#options;
    const { rejected } = this.#taker;
    if (this.#isFirst || finished) this.#note(position, finished);
    this.#isFirst = false;
    const state = { position, rejected, rejectsBytes, startedAt: this.#startedAt, finished };
    const { rows } = position;
    this.#committing = producer
      .commit(this.#batches, toPosition(state))
      .then(() => onCommitted(rows));
    // It is awaited before the next; until then a failure waits, too.
    this.#committing.catch(() => undefined);
    this.#committedRows = rows;
    this.#batches = producer.begin();
    this.#taker.batches = this.#batches;
  }

  /** The import's own record: it exists, or it is done. */
  #note({ rows }: FilePosition, finished: boolean): void {
    const { importId, map, name, stamp, codec, producer } = this.#options;
    const now = Date.now();
    const value: FileImportChanged = {
      import_id: importId,
      source: `file:${map.source}`,
      file: name,
      topic: map.topic,
      state: finished ? 'finished' : 'running',
      started_at: this.#startedAt,
      updated_at: now,
      rows,
      rejected: this.#taker.rejected,
      file_bytes: stamp.bytes,
    };
    const partition = producer.partitionFor(IMPORTS_TOPIC, importId);
    this.#batches.append(
      IMPORTS_TOPIC,
      partition,
      importId,
      codec.encode(IMPORTS_TOPIC, value),
      now,
    );
  }

  #checkSignal(): void {
    if (this.#options.signal?.aborted !== true) return;
    throw new ReachflowError(`the import of ${this.#options.name} was stopped`, {
      code: 'IMPORT_STOPPED',
      domain: 'user',
      hint: 'The same command goes on with it.',
    });
  }

  #show({ rows, bytes }: FilePosition): void {
    const { onProgress, importId } = this.#options;
    if (onProgress === undefined || Date.now() - this.#shownAt < PROGRESS_MS) return;
    this.#shownAt = Date.now();
    const { size } = this.#reader;
    const done = size === undefined ? undefined : size === 0 ? 1 : Math.min(1, bytes / size);
    onProgress({ importId, rows, rejected: this.#taker.rejected, done });
  }
}

function changed(path: string): ReachflowError {
  return new ReachflowError(`${path} was written to while it was imported`, {
    code: 'FILE_CHANGED',
    domain: 'user',
    hint: 'Import a file once it is whole. What was read of it before is in the topic, as an import that is not finished.',
  });
}
