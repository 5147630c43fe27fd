import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, globSync, readFileSync } from 'node:fs';
import { mkdir, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { defaultCacheDir } from '../../compose/config.ts';
import { errorMessage, ReachflowError } from '../../runtime/errors.ts';

const BUILD_TIMEOUT_MS = 600_000;

/**
 * Builds a peer that is written in Go, once; the binary is kept in the user's cache.
 * @param name its folder here. @returns the binary's path.
 * @throws ReachflowError `PEER_BUILD_FAILED`, also where there is no Go.
 */
export async function buildGoPeer(
  name: string,
  onProgress: (text: string) => void,
): Promise<string> {
  const project = join(import.meta.dirname, name);
  const hash = createHash('sha256');
  for (const file of globSync('{*.go,go.mod,go.sum}', { cwd: project }).sort())
    hash.update(file).update(readFileSync(join(project, file)));
  const parent = join(defaultCacheDir(), 'bench');
  const binary = join(parent, `${name}-${hash.digest('hex').slice(0, 12)}`);
  if (existsSync(binary)) return binary;
  onProgress(`building ${name} with Go, once …`);
  const making = `${binary}.making-${process.pid}`;
  await mkdir(parent, { recursive: true });
  try {
    const args = ['build', '-trimpath', '-o', making, '.'];
    await promisify(execFile)('go', args, { cwd: project, timeout: BUILD_TIMEOUT_MS });
  } catch (error) {
    throw new ReachflowError(`Go could not build ${name}: ${errorMessage(error)}`, {
      code: 'PEER_BUILD_FAILED',
      domain: 'external',
      hint: 'Install Go 1.26 or newer; its module proxy has to be reachable once.',
      cause: error,
    });
  }
  await rename(making, binary);
  return binary;
}
