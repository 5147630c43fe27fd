import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { smallModel } from '../../pipelines/scoring/testing/models.ts';
import { testStack } from './stack.ts';

/** Each command is a process: on a machine that is busy each takes a while. */
const TIMEOUT = 400_000;
const BIN = new URL('../../bin/reachflow.js', import.meta.url).pathname;
const namespace = `t${randomBytes(4).toString('hex')}`;
let dir: string;

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'reachflow-commands-'));
});
afterAll(() => rm(dir, { recursive: true, force: true }));

/** Standard output of a command. @throws with its standard error. */
async function reachflow(...args: string[]): Promise<string> {
  const { kafka, registry } = testStack();
  const { stdout } = await promisify(execFile)(process.execPath, [BIN, ...args], {
    cwd: dir,
    env: {
      PATH: process.env['PATH'],
      HOME: process.env['HOME'],
      REACHFLOW_KAFKA_BROKERS: kafka.brokers.join(','),
      REACHFLOW_REGISTRY_URL: registry.url,
      REACHFLOW_KAFKA_NAMESPACE: namespace,
      REACHFLOW_KAFKA_PARTITIONS: '2',
      REACHFLOW_STACK_ENGINE: 'external',
      REACHFLOW_PIPELINES_OPTIONAL: 'alerts,scoring',
    },
  });
  return stdout;
}

interface Row {
  readonly name: string;
  readonly version: string;
  readonly publishedAt: number;
  readonly state: string;
}

const rowsOf = (text: string) =>
  text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Row);

it('reachflow model publishes what is valid, and says what is in use', {
  timeout: TIMEOUT,
}, async () => {
  const other = join(dir, 'other.json');
  const bad = join(dir, 'bad.json');
  await writeFile(other, smallModel([{ feature: 'opens', from: 1, adds: 1 }]));
  await writeFile(bad, smallModel([{ feature: 'age', from: 1, adds: 1 }], ['age']));
  await expect(reachflow('model', 'publish', bad)).rejects.toMatchObject({
    code: 1,
    stderr: expect.stringContaining('features there are not: age'),
  });
  await reachflow('model', 'publish');
  const published = JSON.parse(await reachflow('model', 'publish', other, '--json')) as Row;
  await reachflow('model', 'publish', other, '--name', 'next');
  const rows = rowsOf(await reachflow('model', 'list', '--json'));
  const lead = rows.filter(({ name }) => name === 'lead');
  expect(lead.map(({ state }) => state)).toEqual(['superseded', 'in use']);
  expect(lead[1]?.version).toBe(published.version);
  expect(lead[1]?.publishedAt).toBeGreaterThan(lead[0]?.publishedAt ?? Number.POSITIVE_INFINITY);
  expect(rows.find(({ name }) => name === 'next')?.state).toBe('not used');
});

it('reachflow tenant throttles, lists and lets go', { timeout: TIMEOUT }, async () => {
  await reachflow(
    'tenant',
    'throttle',
    'acme',
    '--limit',
    '5',
    '--for',
    '1h',
    '--reason',
    'a loop',
  );
  const [row] = rowsOf(await reachflow('tenant', 'list', '--json'));
  expect(row).toMatchObject({ tenant_id: 'acme', limit_per_minute: 5, reason: 'a loop' });
  await reachflow('tenant', 'unthrottle', 'acme');
  expect(await reachflow('tenant', 'list')).not.toContain('acme');
});
