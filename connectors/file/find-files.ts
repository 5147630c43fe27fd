import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { ReachflowError } from '../../runtime/errors.ts';
import { unreadable } from './byte-source.ts';
import { formatOfName } from './readers/open-reader.ts';

const MAX_FILES = 10_000;

/**
 * The file itself, or those of a directory that can be imported, by name; its own directories are not searched.
 * @throws ReachflowError `FILE_UNREADABLE`, `FILES_NONE`, `FILE_LIMIT`.
 */
export async function findFiles(path: string): Promise<string[]> {
  const stats = await stat(path).catch((error: unknown) => {
    throw unreadable(path, error);
  });
  if (!stats.isDirectory()) return [path];
  const entries = await readdir(path, { withFileTypes: true });
  const files = entries
    .filter((entry) => entry.isFile() && formatOfName(entry.name) !== undefined)
    .map(({ name }) => join(path, name))
    .sort();
  if (files.length === 0) {
    throw new ReachflowError(`${path} has no file that can be imported`, {
      code: 'FILES_NONE',
      domain: 'user',
      hint: 'Files are known by .csv, .tsv, .txt, .ndjson, .jsonl, .json, .xlsx, .parquet, also with .gz; name one to import it whatever its name.',
    });
  }
  if (files.length > MAX_FILES) {
    throw new ReachflowError(`${path} has ${files.length} files, at most ${MAX_FILES} at a time`, {
      code: 'FILE_LIMIT',
      domain: 'user',
      hint: 'Import them in parts.',
    });
  }
  return files;
}
