import { extname } from 'node:path';
import { ReachflowError } from '../../../runtime/errors.ts';
import { describeText, isGzip, readHead } from '../byte-source.ts';
import type { FileFormat, ImportMap } from '../map.ts';
import { openCsv } from './csv.ts';
import { openJsonArray } from './json-array.ts';
import { openNdjson } from './ndjson.ts';
import { openParquet } from './parquet.ts';
import type { RowReader } from './reader.ts';
import { openXlsx } from './xlsx.ts';

/** Names of files that are imported from a directory. */
const EXTENSIONS: Readonly<Record<string, FileFormat>> = {
  '.csv': 'csv',
  '.tsv': 'csv',
  '.txt': 'csv',
  '.ndjson': 'ndjson',
  '.jsonl': 'ndjson',
  '.json': 'json',
  '.xlsx': 'xlsx',
  '.parquet': 'parquet',
};
const HEAD_BYTES = 4_096;

/** What of a map decides on how a file is read. */
export type ReadSettings = Pick<ImportMap, 'format' | 'encoding' | 'csv' | 'json' | 'xlsx'>;

/** The format that a file's name tells; undefined when it tells none. */
export function formatOfName(name: string): FileFormat | undefined {
  const lower = name.toLowerCase();
  return EXTENSIONS[extname(lower.endsWith('.gz') ? lower.slice(0, -3) : lower)];
}

/** The format that the file's first bytes tell, else its name. */
function formatOf(name: string, head: Buffer): FileFormat {
  if (head.subarray(0, 4).toString('latin1') === 'PK\x03\x04') return 'xlsx';
  if (head.subarray(0, 4).toString('latin1') === 'PAR1') return 'parquet';
  if (head.subarray(0, 4).toString('latin1') === '\xd0\xcf\x11\xe0') throw oldExcel(name);
  const named = formatOfName(name);
  if (named !== undefined && named !== 'xlsx' && named !== 'parquet') return named;
  const first = head.toString('latin1').trimStart()[0];
  if (named === undefined && first === '[') return 'json';
  if (named === undefined && first === '{') return 'ndjson';
  if (named === undefined) return 'csv';
  throw new ReachflowError(`${name} is no ${named} file`, {
    code: 'FILE_MALFORMED',
    domain: 'user',
    hint: 'Its first bytes are not those of one: is it whole, and the right one?',
  });
}

/**
 * The reader of a file, by its content.
 * @param name the file's own, where `path` has another.
 * @throws ReachflowError `FILE_UNREADABLE`, `FILE_TRUNCATED`, `FILE_MALFORMED`, `FILE_EMPTY`, `FILE_LIMIT`.
 */
export async function openReader(
  path: string,
  name: string,
  map: ReadSettings,
): Promise<RowReader> {
  const raw = await readHead(path, HEAD_BYTES, false);
  const gzip = isGzip(raw);
  const head = gzip ? await readHead(path, HEAD_BYTES, true) : raw;
  const format = map.format ?? formatOf(name, head);
  if (format === 'xlsx' || format === 'parquet') {
    if (gzip) throw packed(name);
    return format === 'xlsx' ? openXlsx(path, map.xlsx) : openParquet(path);
  }
  const text = await describeText(path, gzip, map.encoding);
  if (format === 'csv') return openCsv(text, map.csv);
  return format === 'json' ? openJsonArray(text, map.json.pointer) : openNdjson(text);
}

function packed(name: string): ReachflowError {
  return new ReachflowError(`${name} is packed with gzip, but a file that is read out of order`, {
    code: 'FILE_MALFORMED',
    domain: 'user',
    hint: 'Unpack it: Excel and Parquet files are compressed already.',
  });
}

/** A compound file: .xls, or .xlsx with a password. */
function oldExcel(name: string): ReachflowError {
  return new ReachflowError(`${name} is an Excel file of the old kind, or one with a password`, {
    code: 'FILE_MALFORMED',
    domain: 'user',
    hint: 'Save it as .xlsx without a password, or as CSV.',
  });
}
