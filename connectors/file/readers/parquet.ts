import { type FileHandle, open } from 'node:fs/promises';
import {
  type AsyncBuffer,
  type FileMetaData,
  parquetMetadataAsync,
  parquetScan,
  parquetSchema,
} from 'hyparquet';
import { compressors } from 'hyparquet-compressors';
import { ReachflowError } from '../../../runtime/errors.ts';
import { truncated, unreadable } from '../byte-source.ts';
import { type FilePosition, MAX_COLUMNS, type RowReader, type RowVisitor } from './reader.ts';

/** Decoded at a time, bytes as the file counts them: values of the runtime take several times as much. */
const SLICE_BYTES = 4_194_304;
const MAX_SLICE_ROWS = 20_000;
/** Of one column in one row group, as it lies in the file: it is read as a whole. */
const MAX_CHUNK_BYTES = 67_108_864;
const MAGIC = 'PAR1';

/** Rows of an Apache Parquet file, a part of a row group at a time. @throws as `RowReader.read`. */
export async function openParquet(path: string): Promise<RowReader> {
  const metadata = await withFile(path, (file) => parquetMetadataAsync(file));
  const columns = parquetSchema(metadata).children.map(({ element }) => element.name);
  if (columns.length > MAX_COLUMNS) throw tooMuch(path, `it has more than ${MAX_COLUMNS} columns`);
  checkChunks(path, metadata);
  const rows = Number(metadata.num_rows);
  return {
    kind: 'values',
    columns,
    description: `parquet, ${rows} rows in ${metadata.row_groups.length} groups`,
    size: rows,
    read: (from, visitor) => readParquet(path, metadata, columns, from, visitor),
  };
}

async function* readParquet(
  path: string,
  metadata: FileMetaData,
  columns: string[],
  from: FilePosition,
  visitor: RowVisitor,
): AsyncGenerator<FilePosition> {
  const handle = await openFile(path);
  try {
    const file = await bufferOf(handle);
    let groupStart = 0;
    for (const group of metadata.row_groups) {
      const groupRows = Number(group.num_rows);
      const groupEnd = groupStart + groupRows;
      const step = sliceRows(groupRows, Number(group.total_byte_size));
      for (let start = Math.max(groupStart, from.rows); start < groupEnd; start += step) {
        const end = Math.min(groupEnd, start + step);
        await readSlice({ path, file, metadata, columns }, start, end, visitor);
        yield { rows: end, line: 0, bytes: end };
      }
      groupStart = groupEnd;
    }
    if (groupStart === 0) yield from;
  } finally {
    await handle.close();
  }
}

interface Opened {
  readonly path: string;
  readonly file: AsyncBuffer;
  readonly metadata: FileMetaData;
  readonly columns: string[];
}

async function readSlice(
  { path, file, metadata, columns }: Opened,
  rowStart: number,
  rowEnd: number,
  visitor: RowVisitor,
): Promise<void> {
  const data: ArrayLike<unknown>[] = [];
  try {
    // A scan of its own: it keeps the last of each column, which nobody reads again.
    const scan = await parquetScan({ file, metadata, compressors });
    for (const column of columns) data.push(await scan.readColumn({ column, rowStart, rowEnd }));
  } catch (error) {
    throw malformed(path, error);
  }
  const values: unknown[] = new Array(columns.length);
  for (let i = 0; i < rowEnd - rowStart; i += 1) {
    for (let column = 0; column < columns.length; column += 1) values[column] = data[column]?.[i];
    visitor.values({ row: rowStart + i + 1, line: 0 }, values);
  }
}

function sliceRows(rows: number, bytes: number): number {
  const fitting = Math.floor((rows * SLICE_BYTES) / Math.max(bytes, 1));
  return Math.max(1, Math.min(MAX_SLICE_ROWS, fitting));
}

function checkChunks(path: string, { row_groups }: FileMetaData): void {
  for (const { columns } of row_groups) {
    for (const { meta_data } of columns) {
      if (meta_data === undefined || Number(meta_data.total_compressed_size) <= MAX_CHUNK_BYTES)
        continue;
      const name = meta_data.path_in_schema.join('.');
      throw tooMuch(path, `a row group has more than ${MAX_CHUNK_BYTES} bytes of column ${name}`);
    }
  }
}

async function openFile(path: string): Promise<FileHandle> {
  return open(path, 'r').catch((error: unknown) => {
    throw unreadable(path, error);
  });
}

async function withFile<T>(path: string, work: (file: AsyncBuffer) => Promise<T>): Promise<T> {
  const handle = await openFile(path);
  try {
    const { size } = await handle.stat();
    const tail = Buffer.alloc(4);
    await handle.read(tail, 0, 4, Math.max(0, size - 4));
    if (tail.toString('latin1') !== MAGIC) throw truncated(path);
    return await work(await bufferOf(handle));
  } catch (error) {
    throw error instanceof ReachflowError ? error : malformed(path, error);
  } finally {
    await handle.close();
  }
}

/** Ranges of a file, as the decoder asks for them. */
async function bufferOf(handle: FileHandle): Promise<AsyncBuffer> {
  const { size } = await handle.stat();
  return {
    byteLength: size,
    async slice(start, end = size) {
      const into = new Uint8Array(end - start);
      for (let at = 0; at < into.length; ) {
        const { bytesRead } = await handle.read(into, at, into.length - at, start + at);
        if (bytesRead === 0) throw new RangeError('a range lies behind the end of the file');
        at += bytesRead;
      }
      return into.buffer;
    },
  };
}

function malformed(path: string, cause: unknown): ReachflowError {
  return new ReachflowError(`${path} cannot be read as Parquet`, {
    code: 'FILE_MALFORMED',
    domain: 'user',
    hint: 'Is it whole? Encrypted files cannot be read.',
    cause,
  });
}

function tooMuch(path: string, what: string): ReachflowError {
  return new ReachflowError(`${path} cannot be imported in bounded memory: ${what}`, {
    code: 'FILE_LIMIT',
    domain: 'user',
    hint: 'Write it with smaller row groups: 128 MB of rows or less each is usual.',
  });
}
