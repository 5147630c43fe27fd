import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { defaultCacheDir } from '../../compose/config.ts';
import { downStack, resetStack } from '../../compose/stack.ts';

const MAIN = new URL('../../cli/main.ts', import.meta.url).pathname;
const TIMEOUT_MS = 600_000;
const MAPPED_MIB = 90;

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
  let failed = false;
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'reachflow-prove-'));
  });
  afterEach(({ task }) => {
    failed ||= task.result?.state === 'fail';
  });
  afterAll(async () => {
    if (failed) {
      await downStack(dir);
      process.stderr.write(`logs of engines and workers: ${dir}\n`);
      return;
    }
    await resetStack(dir);
    await rm(dir, { recursive: true, force: true });
  }, 120_000);

  it('finds every store right after faults of workers, broker and stores', async () => {
    const { code, output } = await reachflow(['prove', '--minutes', '0.6', '--dir', dir]);
    // All of it: the counts with their samples, the faults, and the seed.
    expect(code, output).toBe(0);
    expect(output).toContain('Proved for this run');
    const faults = Number(/(\d+) faults, seed/.exec(output)?.[1]);
    expect(faults, output).toBeGreaterThan(0);
    for (const store of ['postgres', 'clickhouse', 'elasticsearch']) {
      expect(output).toMatch(new RegExp(`${store} +balances = sums of the history`));
    }
  });

  it('finds every store right after a minute without stores and half a minute of slow ones, in 512 MiB', async () => {
    const faults = ['--faults', 'outage,slow', '--minutes', '2'];
    const load = ['--workers', '1', '--webhooks', '300', '--transactions', '100'];
    const { code, output } = await reachflow(['prove', '--dir', dir, ...faults, ...load]);
    expect(code, output).toBe(0);
    expect(output).toContain('Proved for this run');
    expect(output).toContain('0 dead letters, 0 workers ended by themselves');
    expect(output).toContain('postgres, clickhouse, elasticsearch down for 60.0 s');
    expect(output).toContain('postgres, clickhouse, elasticsearch slow for 30.0 s');
    for (const sink of ['postgres', 'clickhouse', 'elasticsearch']) {
      // By default it stays open for a minute, then probes with three writes, and wants five to succeed.
      for (const state of ['open', 'half-open', 'closed'])
        expect(output).toContain(`breaker of ${sink}: ${state}`);
    }
    // A worker of which more than 512 MiB is its own ends by itself; mapped files (Node's, the state's) come on top.
    const peak = Number(/a worker took (\d+) MiB at most/.exec(output)?.[1]);
    expect(peak, output).toBeLessThanOrEqual(512 + MAPPED_MIB);
  });
});
