import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestProject } from 'vitest/node';
import { defaultCacheDir } from '../../compose/config.ts';
import { stackLayout } from '../../compose/embedded/layout.ts';
import {
  identify,
  isAlive,
  type ProcessIdentity,
  signalProcess,
} from '../../compose/embedded/process-identity.ts';
import { readProcessNow } from '../../compose/embedded/state.ts';
import {
  componentNames,
  resetStack,
  type StackEndpoints,
  type StackEvent,
  upStack,
} from '../../compose/stack.ts';

const PREFIX = 'reachflow-test-stack-';
const OWNER = 'owner.json';

/**
 * Real engines for the integration tests, fresh for each run: a new directory below the system's temporary
 * one, engines from the user's cache. With `REACHFLOW_TEST_STACK` (JSON of `StackEndpoints`) nothing is
 * started. The stack ends with the run, however that ends: by teardown, by a signal, and after a `kill -9` by
 * the next run.
 */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const given = process.env['REACHFLOW_TEST_STACK'];
  if (given !== undefined) {
    project.provide('stack', JSON.parse(given) as StackEndpoints);
    return async () => undefined;
  }
  await removeAbandoned();
  const dir = await mkdtemp(join(tmpdir(), PREFIX));
  // As root, Postgres runs as another user, who must get in to keep its data here.
  await chmod(dir, 0o711);
  await writeFile(join(dir, OWNER), JSON.stringify(identify(process.pid)));
  const atExit = (): void => killNow(dir);
  process.once('exit', atExit);
  const interrupted = new AbortController();
  const onSignal = (): void => {
    interrupted.abort();
    // Vitest handles the signal too; whoever ends the process first, the `exit` handler above runs.
    void tearDown(dir).finally(() => process.exit(130));
  };
  process.once('SIGINT', onSignal).once('SIGTERM', onSignal);
  const teardown = async (): Promise<void> => {
    process.off('SIGINT', onSignal).off('SIGTERM', onSignal);
    await tearDown(dir);
    process.off('exit', atExit);
  };
  try {
    const stack = await upStack({
      engine: 'embedded',
      dir,
      cacheDir: process.env['REACHFLOW_STACK_CACHE_DIR'] ?? defaultCacheDir(),
      onProgress: report,
      signal: interrupted.signal,
    });
    project.provide('stack', stack.endpoints);
    return teardown;
  } catch (error) {
    await teardown();
    throw error;
  }
}

function report(event: StackEvent): void {
  if (event.status === 'working' && event.phase !== 'provision') return;
  const seconds = (event.elapsedMs / 1000).toFixed(1);
  process.stderr.write(`stack: ${event.component} ${event.phase} ${seconds} s: ${event.message}\n`);
}

async function tearDown(dir: string): Promise<void> {
  await resetStack(dir);
  await rm(dir, { recursive: true, force: true });
}

/** Nothing asynchronous happens in an `exit` handler: end the processes by SIGKILL, their data is of no use. */
function killNow(dir: string): void {
  const layout = stackLayout(dir);
  for (const name of componentNames) {
    const identity = readProcessNow(layout, name);
    if (identity !== undefined) signalProcess(identity, 'SIGKILL');
  }
  rmSync(dir, { recursive: true, force: true, maxRetries: 3 });
}

/** Stacks whose test run was killed before it could end them. */
async function removeAbandoned(): Promise<void> {
  for (const name of readdirSync(tmpdir()).filter((entry) => entry.startsWith(PREFIX))) {
    const dir = join(tmpdir(), name);
    const owner = readOwner(dir);
    // Without a readable record it may be just being made by another run.
    if (owner === undefined || isAlive(owner)) continue;
    // Another run may be removing it, too.
    await tearDown(dir).catch((error: unknown) => {
      process.stderr.write(`stack: ${dir} of an earlier run is left: ${String(error)}\n`);
    });
  }
}

function readOwner(dir: string): ProcessIdentity | undefined {
  try {
    return JSON.parse(readFileSync(join(dir, OWNER), 'utf8')) as ProcessIdentity;
  } catch {
    return undefined;
  }
}
