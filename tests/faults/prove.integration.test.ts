import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { defaultCacheDir } from '../../compose/config.ts';
import { resetStack } from '../../compose/stack.ts';

const MAIN = new URL('../../cli/main.ts', import.meta.url).pathname;
const TIMEOUT_MS = 600_000;

/** Runs a command to its end. @returns exit code (or signal) and all that it wrote. */
async function reachflow(args: readonly string[]): Promise<{ code: unknown; output: string }> {
  const inherited = Object.entries(process.env).filter(
    ([name]) => !name.startsWith('REACHFLOW_') && name !== 'NODE_OPTIONS',
  );
  const child = spawn(process.execPath, [MAIN, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      ...Object.fromEntries(inherited),
      REACHFLOW_STACK_CACHE_DIR: process.env['REACHFLOW_STACK_CACHE_DIR'] ?? defaultCacheDir(),
    },
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk: Buffer) => {
      output += chunk.toString();
    });
  }
  try {
    const [code, signal] = await once(child, 'exit');
    return { code: code ?? signal, output };
  } finally {
    child.kill('SIGKILL');
  }
}

describe('reachflow prove', { timeout: TIMEOUT_MS }, () => {
  let dir: string;
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'reachflow-prove-'));
  });
  afterAll(async () => {
    await resetStack(dir);
    await rm(dir, { recursive: true, force: true });
  }, 120_000);

  it('finds every store right after faults of workers, broker and stores', async () => {
    const { code, output } = await reachflow(['prove', '--minutes', '1', '--dir', dir]);
    // All of it: the counts with their samples, the faults, and the seed.
    expect(code, output).toBe(0);
    expect(output).toContain('Proved for this run');
    const faults = Number(/(\d+) faults, seed/.exec(output)?.[1]);
    expect(faults, output).toBeGreaterThan(0);
    for (const store of ['postgres', 'clickhouse', 'elasticsearch']) {
      expect(output).toMatch(new RegExp(`${store} +balances = sums of the history`));
    }
  });
});
