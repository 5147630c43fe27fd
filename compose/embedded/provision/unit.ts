import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { mkdir, readdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { z } from 'zod';
import type { ComponentName } from '../../types.ts';
import { acquireLock } from '../lock.ts';
import type { Jdk } from '../toolchain.ts';

/** What the build of a unit may use. */
export interface BuildContext {
  /** Empty directory to fill; it takes its final name when the build returns. */
  readonly outputDir: string;
  readonly jdk: Jdk;
  readonly mvn: string;
  /** Finished directories of the units this one builds on. */
  home(unit: UnitName): string;
  readonly onProgress: (message: string) => void;
  readonly signal?: AbortSignal | undefined;
}

export type UnitName = 'kafka' | 'connect-plugins' | 'registry' | 'elasticsearch';

/** One directory of the user cache, made once from pinned inputs. */
export interface ProvisionUnit {
  readonly name: UnitName;
  readonly component: ComponentName;
  /** Files and directories that decide the result (poms, sources): their hash names the directory. */
  readonly inputs: readonly string[];
  readonly needs: readonly UnitName[];
  build(context: BuildContext): Promise<void>;
}

const marker = z.object({
  files: z.array(z.object({ path: z.string(), bytes: z.number() })),
});
const MARKER = 'provisioned.json';

/** The directory of a unit: its name carries a hash of its inputs, so another version is another directory. */
export function unitHome(cacheDir: string, unit: ProvisionUnit): string {
  const hash = createHash('sha256').update(process.arch);
  for (const input of unit.inputs) {
    for (const file of filesOf(input))
      hash.update(relative(input, file)).update(readFileSync(file));
  }
  return join(cacheDir, 'embedded', `${unit.name}-${hash.digest('hex').slice(0, 12)}`);
}

/** Is the unit complete: made to its end, and every file still there in its size? */
export function isProvisioned(home: string): boolean {
  const file = join(home, MARKER);
  if (!existsSync(file)) return false;
  const parsed = marker.safeParse(JSON.parse(readFileSync(file, 'utf8')));
  if (!parsed.success) return false;
  return parsed.data.files.every(({ path, bytes }) => {
    const found = statSync(join(home, path), { throwIfNoEntry: false });
    return found?.size === bytes;
  });
}

/**
 * Make the unit if it is not there. Safe against being killed at any point (it is built under another name and
 * renamed when complete) and against other processes doing the same (one builds, the others wait and use it).
 */
export async function provisionUnit(
  cacheDir: string,
  unit: ProvisionUnit,
  context: Omit<BuildContext, 'outputDir'>,
): Promise<'cached' | 'made'> {
  const home = unitHome(cacheDir, unit);
  if (isProvisioned(home)) return 'cached';
  const parent = join(cacheDir, 'embedded');
  await mkdir(parent, { recursive: true });
  const lock = await acquireLock(parent, {
    signal: context.signal,
    onWait: (pid) =>
      context.onProgress(`waiting for process ${pid ?? 'unknown'}, which provisions`),
  });
  try {
    if (isProvisioned(home)) return 'cached';
    await removeLeftovers(parent, unit.name);
    const outputDir = join(parent, `${unit.name}.making-${process.pid}`);
    await mkdir(outputDir);
    await unit.build({ ...context, outputDir });
    await writeMarker(outputDir);
    await rm(home, { recursive: true, force: true });
    await rename(outputDir, home);
    return 'made';
  } finally {
    await lock.release();
  }
}

/** Whoever holds the lock is the only builder, so half-made directories belong to builders that were killed. */
async function removeLeftovers(parent: string, unit: UnitName): Promise<void> {
  for (const name of await readdir(parent)) {
    if (name.startsWith(`${unit}.making-`)) {
      await rm(join(parent, name), { recursive: true, force: true });
    }
  }
}

async function writeMarker(directory: string): Promise<void> {
  const files: { path: string; bytes: number }[] = [];
  for (const file of filesOf(directory)) {
    files.push({ path: relative(directory, file), bytes: (await stat(file)).size });
  }
  await writeFile(join(directory, MARKER), `${JSON.stringify({ files })}\n`);
}

function filesOf(input: string): string[] {
  if (!statSync(input).isDirectory()) return [input];
  return readdirSync(input, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .sort();
}
