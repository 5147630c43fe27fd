import { spawn } from 'node:child_process';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { testStack } from './stack.ts';

/**
 * Every command in the README is run: here, unless something else does it. What stands here by name has to stand in
 * the README, and the other way round: a new command there is run by this test without further ado.
 */
const coveredElsewhere = new Map([
  ['npm run demo', { by: 'tests/integration/demo.integration.test.ts', how: 'until Ctrl-C' }],
  ['npm run demo -- --once', { by: 'tests/integration/demo.integration.test.ts', how: 'once' }],
  ['npm test', { by: '.ci/run', how: 'is what runs this' }],
  [
    'npx reachflow prove --minutes 5',
    { by: 'tests/faults/prove.integration.test.ts', how: 'for a minute' },
  ],
  [
    'npx reachflow stack up',
    { by: 'tests/integration/stack.integration.test.ts', how: 'all of it' },
  ],
  ['npx reachflow stack status', { by: 'tests/integration/stack.integration.test.ts', how: '' }],
  ['npx reachflow stack down', { by: 'tests/integration/stack.integration.test.ts', how: '' }],
]);

/** Commands that go on until Ctrl-C: what they say when they are ready, and once they have ended as they should. */
const untilAsked = new Map([
  ['npx reachflow run', { ready: '"msg":"ready"', ended: '"msg":"stopped"' }],
]);

const root = join(import.meta.dirname, '..', '..');

/** The commands of all `sh` blocks, without comments. */
function commandsOf(markdown: string): string[] {
  return [...markdown.matchAll(/^```sh\n(.*?)^```/gms)]
    .flatMap(([, block = '']) => block.split('\n'))
    .map((line) => line.replace(/\s+#.*$/, '').trim())
    .filter((line) => line !== '');
}

const commands = commandsOf(readFileSync(join(root, 'README.md'), 'utf8'));
const isCovered = (command: string) => coveredElsewhere.has(command);

describe('the commands of the README', () => {
  let directory: string;
  let environment: NodeJS.ProcessEnv;

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'reachflow-readme-'));
    const { kafka, registry, connect, postgres, clickhouse, elasticsearch } = testStack();
    const id = `readme${process.pid}`;
    environment = {
      PATH: [dirname(process.execPath), process.env['PATH']].join(delimiter),
      HOME: process.env['HOME'],
      REACHFLOW_STACK_DIR: join(directory, 'stack'),
      REACHFLOW_KAFKA_BROKERS: kafka.brokers.join(','),
      REACHFLOW_KAFKA_NAMESPACE: id,
      REACHFLOW_REGISTRY_URL: registry.url,
      REACHFLOW_CONNECT_URL: connect.url,
      REACHFLOW_DEBEZIUM_ON_STOP: 'stop',
      REACHFLOW_POSTGRES_URL: postgres.url,
      REACHFLOW_POSTGRES_SCHEMA: id,
      REACHFLOW_CLICKHOUSE_URL: clickhouse.url,
      REACHFLOW_CLICKHOUSE_USERNAME: clickhouse.username,
      REACHFLOW_CLICKHOUSE_PASSWORD: clickhouse.password,
      REACHFLOW_CLICKHOUSE_DATABASE: id,
      REACHFLOW_ELASTICSEARCH_URL: elasticsearch.url,
      REACHFLOW_ELASTICSEARCH_INDEX_PREFIX: `${id}-`,
      REACHFLOW_WEBHOOK_PORT: '0',
    };
  });
  afterAll(() => rmSync(directory, { recursive: true, force: true }));

  /** Runs it as a shell would, in a process group of its own; asks it to end once it has said `until`. */
  async function run(command: string, until?: string): Promise<{ code: unknown; output: string }> {
    const child = spawn('sh', ['-c', `exec ${command}`], {
      cwd: root,
      env: environment,
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let output = '';
    let asked = false;
    const collect = (chunk: Buffer) => {
      output = (output + String(chunk)).slice(-100_000);
      if (until === undefined || asked || !output.includes(until)) return;
      asked = true;
      // As Ctrl-C does: to everything that the shell started.
      if (child.pid !== undefined) process.kill(-child.pid, 'SIGINT');
    };
    child.stdout.on('data', collect);
    child.stderr.on('data', collect);
    const code = await new Promise((resolve) => {
      child.once('close', (status, signal) => resolve(status ?? signal));
    });
    return { code, output };
  }

  it('are known by name where something else runs them', () => {
    expect(commands.length).toBeGreaterThan(5);
    for (const [name, { by }] of coveredElsewhere) {
      expect(
        commands.some((command) => command.startsWith(name)),
        name,
      ).toBe(true);
      expect(existsSync(join(root, by)), by).toBe(true);
    }
  });

  it.each([...new Set(commands)].filter((command) => !isCovered(command)))(
    '%s',
    async (command) => {
      const until = untilAsked.get(command);
      const { code, output } = await run(command, until?.ready);
      if (until === undefined) expect(code, output).toBe(0);
      else {
        // npx ends itself by the signal that its command has dealt with.
        expect([0, 'SIGINT'], output).toContain(code);
        expect(output).toContain(until.ended);
      }
    },
  );
});
