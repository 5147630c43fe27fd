import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

const ROOT = join(import.meta.dirname, '../..');

/**
 * The code blocks of a guide that name a file, written beside each other into a directory two levels below the root, as
 * deep as a pipeline's, so that their imports lead to the same places.
 */
export async function writeGuideFiles(guide: string): Promise<{
  readonly dir: string;
  readonly files: readonly string[];
  remove(): Promise<void>;
}> {
  const text = await readFile(join(ROOT, guide), 'utf8');
  const blocks = [...text.matchAll(/^```ts file=(\S+)\n(.*?)^```/gms)];
  await mkdir(join(ROOT, '.reachflow'), { recursive: true });
  const dir = await mkdtemp(join(ROOT, '.reachflow/guide-'));
  const files = blocks.map(([, name = '']) => name);
  for (const [, name = '', code = ''] of blocks) await writeFile(join(dir, name), code);
  return { dir, files, remove: () => rm(dir, { recursive: true, force: true }) };
}
