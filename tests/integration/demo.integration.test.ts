import { type ChildProcess, spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { chmodSync, mkdtempSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from '@elastic/elasticsearch';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { defaultCacheDir } from '../../compose/config.ts';
import { readEndpoints, resetStack } from '../../compose/stack.ts';

const MAIN = new URL('../../cli/main.ts', import.meta.url).pathname;
const MINUTE = 60_000;

/** The demo as a user starts it, on a stack of its own: it owns the source tables, topics and stores. */
class Demo {
  readonly #child: ChildProcess;
  output = '';

  constructor(dir: string, args: readonly string[]) {
    const inherited = Object.entries(process.env).filter(
      ([name]) => !name.startsWith('REACHFLOW_') && name !== 'NODE_OPTIONS',
    );
    this.#child = spawn(process.execPath, [MAIN, 'demo', '--dir', dir, ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...Object.fromEntries(inherited), REACHFLOW_STACK_CACHE_DIR: cacheDir },
    });
    const collect = (chunk: Buffer) => {
      this.output += chunk.toString();
    };
    this.#child.stdout?.on('data', collect);
    this.#child.stderr?.on('data', collect);
  }

  /** Resolves once the output has the text. */
  async says(text: string): Promise<void> {
    for (let waited = 0; waited < MINUTE; waited += 100) {
      if (this.output.includes(text)) return;
      if (this.#child.exitCode !== null) break;
      await sleep(100);
    }
    throw new Error(`the demo did not say "${text}":\n${this.output}`);
  }

  /** The process that is `reachflow run`. */
  get productPid(): number {
    const [, pid] = /It is process (\d+)/.exec(this.output) ?? [];
    if (pid === undefined) throw new Error(`the demo named no process:\n${this.output}`);
    return Number(pid);
  }

  signal(name: NodeJS.Signals): void {
    this.#child.kill(name);
  }

  /** The exit code, or the signal that ended it. */
  async ended(): Promise<number | string | null> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      await once(this.#child, 'close');
    }
    return this.#child.exitCode ?? this.#child.signalCode;
  }
}

const cacheDir = process.env['REACHFLOW_STACK_CACHE_DIR'] ?? defaultCacheDir();
let dir = '';

beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'reachflow-demo-test-'));
  // As root, Postgres runs as another user, who must get in to keep its data here.
  chmodSync(dir, 0o711);
});

afterAll(async () => {
  await resetStack(dir);
  await rm(dir, { recursive: true, force: true });
}, MINUTE);

/** Runs the demo to its end; the output goes into the failure message when the code is another one. */
async function run(expectedCode: number, ...args: string[]): Promise<string> {
  const demo = new Demo(dir, args);
  const code = await demo.ended();
  expect(code, demo.output).toBe(expectedCode);
  return demo.output;
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

async function untilGone(pid: number, timeoutMs: number): Promise<boolean> {
  for (let waited = 0; waited < timeoutMs; waited += 100) {
    if (!isAlive(pid)) return true;
    await sleep(100);
  }
  return false;
}

// One after the other: each run builds on the data of those before.
describe('reachflow demo', { concurrent: false }, () => {
  it(
    'adds up on a fresh directory, and stops the engines that it started',
    async () => {
      const output = await run(0, '--once', '--seconds', '8');
      expect(output).toContain('It adds up: all 16 checks passed.');
      expect(output).not.toContain('✗');
      expect(output).toMatch(/Postgres: .*\n.*psql postgres:/);
      for (const kind of [
        'bad signature',
        'stale timestamp',
        'broken JSON',
        'too large',
        'unknown source',
      ]) {
        expect(output).toMatch(new RegExp(`${kind} [1-9]`));
      }
      expect(readEndpoints(dir)).toBeUndefined();
    },
    4 * MINUTE,
  );

  it(
    'leaves no product behind after a kill -9',
    async () => {
      const demo = new Demo(dir, ['--once', '--seconds', '60']);
      await demo.says('playing');
      const moment = randomInt(500, 7_000);
      await sleep(moment);
      const pid = demo.productPid;
      expect(isAlive(pid)).toBe(true);
      demo.signal('SIGKILL');
      expect(await demo.ended()).toBe('SIGKILL');
      expect(await untilGone(pid, 15_000), `killed after ${moment} ms`).toBe(true);
      expect(readEndpoints(dir)).toBeDefined();
    },
    5 * MINUTE,
  );

  it(
    'says so when the product dies, and adds up afterwards, on the data of all runs before',
    async () => {
      const demo = new Demo(dir, ['--once', '--seconds', '60']);
      await demo.says('playing');
      await sleep(randomInt(500, 5_000));
      process.kill(demo.productPid, 'SIGKILL');
      expect(await demo.ended()).toBe(1);
      expect(demo.output).toContain('PRODUCT_ENDED');
      const output = await run(0, '--once', '--seconds', '4');
      expect(output).toContain('It adds up: all 16 checks passed.');
    },
    5 * MINUTE,
  );

  it(
    'plays until Ctrl-C, then verifies, and leaves engines up that it found up',
    async () => {
      const demo = new Demo(dir, ['--rate', '100']);
      await demo.says('psql postgres:');
      await demo.says('playing');
      await sleep(3_000);
      demo.signal('SIGINT');
      expect(await demo.ended(), demo.output).toBe(0);
      expect(demo.output).toContain('It adds up: all 16 checks passed.');
      expect(readEndpoints(dir)).toBeDefined();
    },
    4 * MINUTE,
  );

  it('ends with 1 and names what does not belong into a store', async () => {
    const client = new Client({ node: readEndpoints(dir)?.elasticsearch.url ?? '' });
    const { hits } = await client.search({ index: 'contacts', size: 1 });
    // A contact that was never in the source: nothing in the pipeline will ever correct it.
    const document = hits.hits[0]?._source;
    await client.index({ index: 'contacts', id: 'ghost', document, refresh: true });
    await client.close();
    const output = await run(1, '--once', '--seconds', '2', '--rate', '20');
    expect(output).toMatch(/✗ Contacts in Elasticsearch: .* 1 unexpected/);
    expect(output).toContain('ghost should not be there');
    expect(output).toMatch(/✓ Contacts in Postgres/);
    expect(output).toContain('It does not add up: 2 of 16 checks failed.');
  }, 240_000);
});
