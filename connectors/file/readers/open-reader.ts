import { extname } from 'node:path';
import { ReachflowError } from '../../../runtime/errors.ts';
import { describeText, isGzip, readHead } from '../byte-source.ts';
import type { FileFormat, ImportMap } from '../map.ts';
import { openCsv } from './csv.ts';
import type { RowReader } from './reader.ts';

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
  if (format === 'csv') return openCsv(await describeText(path, gzip, map.encoding), map.csv);
  throw new Error(`no reader of ${format}`);
}
