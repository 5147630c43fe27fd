import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { ReachflowError } from '../../../runtime/errors.ts';

/**
 * A list of files with their SHA-256, in the format of sha256sum(1), kept beside each pom. Maven compares what
 * it fetches with the checksums of the same repository, if that has any; this list says what we have tried.
 */
export const FILE_LIST = 'files.sha256';

/**
 * Does the directory hold exactly the files of the list?
 * @throws ReachflowError `STACK_CHECKSUM_MISMATCH` naming the files that differ, lack or are too many.
 */
export async function verifyFiles(directory: string, listFile: string): Promise<void> {
  const expected = parseFileList(await readFile(listFile, 'utf8'));
  const actual = await hashFiles(directory);
  const wrong = [...new Set([...expected.keys(), ...actual.keys()])]
    .filter((path) => expected.get(path) !== actual.get(path))
    .map((path) => {
      if (!actual.has(path)) return `${path} (missing)`;
      return expected.has(path) ? `${path} (another content)` : `${path} (not expected)`;
    });
  if (wrong.length === 0) return;
  throw new ReachflowError(
    `What Maven delivered is not what this version was tried with: ${wrong.slice(0, 5).join(', ')}` +
      (wrong.length > 5 ? ` and ${wrong.length - 5} more` : ''),
    {
      code: 'STACK_CHECKSUM_MISMATCH',
      domain: 'external',
      hint:
        "Delete these files from Maven's local repository (by default ~/.m2/repository) and run it again; " +
        'when they differ again, ask whoever runs your Maven mirror.',
    },
  );
}

/** Relative path → SHA-256 in hex. */
export function parseFileList(text: string): Map<string, string> {
  const entries = text
    .split('\n')
    .filter((line) => line !== '')
    .map((line): [string, string] => [line.slice(66), line.slice(0, 64)]);
  return new Map(entries);
}

/** The text of a list for what a directory holds now. */
export async function formatFileList(directory: string): Promise<string> {
  return [...(await hashFiles(directory))].map(([path, hash]) => `${hash}  ${path}\n`).join('');
}

async function hashFiles(directory: string): Promise<Map<string, string>> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true });
  const files = entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .sort();
  const hashes = new Map<string, string>();
  for (const file of files) {
    const hash = createHash('sha256');
    await pipeline(createReadStream(file), hash);
    hashes.set(relative(directory, file), hash.digest('hex'));
  }
  return hashes;
}
