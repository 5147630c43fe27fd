import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { defaultCacheDir } from '../../compose/config.ts';
import { checkHealth } from '../../compose/health.ts';
import {
  type ComponentName,
  componentNames,
  downStack,
  killComponent,
  type RunningStack,
  readEndpoints,
  resetStack,
  stackLogs,
  stackStatus,
  upStack,
} from '../../compose/stack.ts';

const cacheDir = process.env['REACHFLOW_STACK_CACHE_DIR'] ?? defaultCacheDir();
const stackModule = new URL('../../compose/stack.ts', import.meta.url).href;
const MINUTE = 60_000;

/** Command lines of all processes that belong to a directory: each engine carries it in its arguments. */
function processesOf(dir: string): string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .map((name) => {
      try {
        return readFileSync(`/proc/${name}/cmdline`, 'utf8').replaceAll('\0', ' ');
      } catch {
        return '';
      }
    })
    .filter((command) => command.includes(dir));
}

/** `stack up` in a process of its own, so that it can be killed. */
function upInChild(dir: string, components: readonly ComponentName[]): ChildProcess {
  const options = JSON.stringify({ engine: 'embedded', dir, cacheDir, components });
  const program = `
    const { upStack } = await import(process.env.STACK_MODULE);
    const onProgress = (event) => process.stdout.write(JSON.stringify(event) + '\\n');
    await upStack({ ...JSON.parse(process.env.STACK_OPTIONS), onProgress });`;
  return spawn(process.execPath, ['--input-type=module', '--eval', program], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, STACK_MODULE: stackModule, STACK_OPTIONS: options },
  });
}

function pidOf(stack: RunningStack, name: ComponentName): number {
  const pid = stack.components.find((component) => component.name === name)?.pid;
  if (pid === undefined) throw new Error(`${name} has no pid`);
  return pid;
}

describe('the embedded stack', () => {
  let dir: string;
  const up = (components: readonly ComponentName[]) =>
    upStack({ engine: 'embedded', dir, cacheDir, components, onProgress: () => undefined });

  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'reachflow-stack-it-'));
    // As root, Postgres runs as another user, who must get in to keep its data here.
    chmodSync(dir, 0o711);
  });

  afterEach(async () => {
    await resetStack(dir);
    rmSync(dir, { recursive: true, force: true });
  });

  it(
    'starts, is found again, replaces a component that died, and stops without a trace',
    async () => {
      const first = await up(componentNames);
      expect(first.started).toBe(true);
      expect(first.components.map(({ name, state }) => [name, state])).toEqual(
        componentNames.map((name) => [name, 'running']),
      );
      expect(readEndpoints(dir)).toEqual(first.endpoints);

      const began = Date.now();
      const second = await up(componentNames);
      expect(second.started).toBe(false);
      expect(Date.now() - began).toBeLessThan(5_000);
      expect(second.components.map(({ pid }) => pid)).toEqual(
        first.components.map(({ pid }) => pid),
      );

      expect(await killComponent(dir, 'registry', 'SIGKILL')).toBe(true);
      expect(readEndpoints(dir)).toBeUndefined();
      const afterKill = await stackStatus(dir);
      expect(afterKill?.components.find(({ name }) => name === 'registry')?.state).toBe('stopped');

      const third = await up(componentNames);
      expect(third.started).toBe(true);
      expect(pidOf(third, 'registry')).not.toBe(pidOf(first, 'registry'));
      expect(pidOf(third, 'kafka')).toBe(pidOf(first, 'kafka'));
      expect(third.endpoints).toEqual(first.endpoints);
      const memory = third.components.reduce((sum, { rssBytes }) => sum + (rssBytes ?? 0), 0);
      expect(memory).toBeLessThan(4 * 1024 ** 3);

      expect((await downStack(dir)).sort()).toEqual([...componentNames].sort());
      expect(processesOf(dir)).toEqual([]);
      expect(await downStack(dir)).toEqual([]);
    },
    6 * MINUTE,
  );

  it(
    'keeps data and ports between starts, and reset removes the data',
    async () => {
      const first = await up(['clickhouse']);
      const { url, username, password } = first.endpoints.clickhouse;
      const query = async (sql: string): Promise<string> => {
        const headers = { 'X-ClickHouse-User': username, 'X-ClickHouse-Key': password };
        const response = await fetch(url, { method: 'POST', headers, body: sql });
        const text = await response.text();
        if (!response.ok) throw new Error(text);
        return text.trim();
      };
      await query('CREATE TABLE reachflow.kept (n UInt8) ENGINE = MergeTree ORDER BY n');
      await query('INSERT INTO reachflow.kept VALUES (42)');
      await downStack(dir);

      const second = await up(['clickhouse']);
      expect(second.endpoints).toEqual(first.endpoints);
      expect(await query('SELECT n FROM reachflow.kept')).toBe('42');

      await resetStack(dir);
      expect(await stackStatus(dir)).toBeUndefined();
      await up(['clickhouse']);
      await expect(query('SELECT n FROM reachflow.kept')).rejects.toThrow('UNKNOWN_TABLE');
    },
    2 * MINUTE,
  );

  it(
    'orphans nothing when the launcher is killed while it starts',
    async () => {
      const components = ['registry', 'postgres', 'clickhouse'] as const;
      // From before the first process exists until most of them run.
      for (const delayMs of [0, 150, 400, 1_200]) {
        const child = upInChild(dir, components);
        const exited = once(child, 'exit');
        if (child.stdout === null) throw new Error('no output of the launcher');
        await once(child.stdout, 'data');
        await sleep(delayMs);
        child.kill('SIGKILL');
        await exited;
        await downStack(dir);
        expect(processesOf(dir)).toEqual([]);
      }
      const recovered = await up(components);
      for (const name of components) await checkHealth(name, recovered.endpoints);
    },
    3 * MINUTE,
  );

  it(
    'lets two calls at once start one stack',
    async () => {
      const [one, two] = await Promise.all([up(['postgres']), up(['postgres'])]);
      expect([one.started, two.started].sort()).toEqual([false, true]);
      expect(pidOf(one, 'postgres')).toBe(pidOf(two, 'postgres'));
    },
    MINUTE,
  );

  it(
    'names the component that dies, its last lines and its log',
    async () => {
      await up(['postgres']);
      await downStack(dir);
      await rm(join(dir, 'data', 'postgres', 'cluster', 'global'), { recursive: true });
      await expect(up(['postgres'])).rejects.toMatchObject({
        code: 'STACK_COMPONENT_DIED',
        message: expect.stringContaining('global/pg_control'),
        hint: expect.stringContaining(join(dir, 'logs', 'postgres.log')),
      });
      expect(processesOf(dir)).toEqual([]);
      const lines: string[] = [];
      for await (const text of stackLogs(dir, 'postgres', { lines: 5, follow: false }))
        lines.push(text);
      expect(lines.join('\n')).toContain('pg_control');
    },
    MINUTE,
  );
});
