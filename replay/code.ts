import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Of the code that this process runs. */
export const OWN_ROOT = join(dirname(fileURLToPath(import.meta.url)), '..');

function filesIn(dir: string): string[] {
  return readdirSync(dir, { withFileTypes: true }).flatMap((entry) => {
    const path = join(dir, entry.name);
    if (entry.isDirectory()) return entry.name === 'golden' ? [] : filesIn(path);
    return entry.name.endsWith('.test.ts') ? [] : [path];
  });
}

/**
 * Digest of what a pipeline's outcome is made by: its folder, what pipelines share, and the schemas. Code of another digest
 * may see the same state otherwise.
 * @param root of a checkout. @throws Error when it has no such pipeline.
 */
export function codeDigest(root: string, pipeline: string): string {
  const shared = readdirSync(join(root, 'pipelines'), { withFileTypes: true })
    .filter((entry) => entry.isFile() && !entry.name.endsWith('.test.ts'))
    .map(({ name }) => join(root, 'pipelines', name));
  const files = [
    ...filesIn(join(root, 'pipelines', pipeline)),
    ...shared,
    ...filesIn(join(root, 'schemas')),
  ];
  const hash = createHash('sha256');
  for (const file of files.toSorted()) {
    hash.update(relative(root, file)).update('\0').update(readFileSync(file)).update('\0');
  }
  return hash.digest('base64url').slice(0, 22);
}
