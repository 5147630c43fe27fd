import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createConnectClient } from '../../connectors/debezium/connect-client.ts';
import {
  CaptureFixture,
  type TopicRecords,
} from '../../connectors/debezium/testing/capture-fixture.ts';
import { topicPartitions } from '../../runtime/kafka/admin.ts';
import { eventually, testLogger } from '../support/kafka.ts';

const BIN = new URL('../../bin/reachflow.js', import.meta.url).pathname;
const TOPIC = 'cdc.public.contacts';
const ROWS = 3_000;
const fixture = new CaptureFixture();
const { source, stack } = fixture;
const { client } = fixture.kafka;
const rest = createConnectClient(fixture.connect, testLogger);
const connector = `${client.config.namespace}-reachflow-cdc`;

interface Ran {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** `reachflow connectors …`, as a user runs it. */
async function connectors(args: readonly string[], env: Record<string, string> = {}): Promise<Ran> {
  const { PATH, HOME } = process.env;
  const options = {
    env: {
      PATH,
      HOME,
      NO_COLOR: '1',
      REACHFLOW_KAFKA_BROKERS: stack.kafka.brokers.join(','),
      REACHFLOW_KAFKA_NAMESPACE: client.config.namespace,
      REACHFLOW_KAFKA_PARTITIONS: '2',
      REACHFLOW_REGISTRY_URL: stack.registry.url,
      REACHFLOW_CONNECT_URL: stack.connect.url,
      REACHFLOW_POSTGRES_URL: fixture.databaseUrl,
      REACHFLOW_DEBEZIUM_TABLES: 'public.contacts',
      REACHFLOW_DEBEZIUM_POLL_INTERVAL_MS: '50',
      REACHFLOW_DEBEZIUM_SNAPSHOT_CHUNK_ROWS: '500',
      ...env,
    },
  };
  try {
    const ran = await promisify(execFile)(process.execPath, [BIN, 'connectors', ...args], options);
    return { code: 0, ...ran };
  } catch (error) {
    const { code, stdout, stderr } = error as Ran;
    return { code, stdout, stderr };
  }
}

async function succeeded(args: readonly string[], env?: Record<string, string>): Promise<string> {
  const ran = await connectors(args, env);
  expect(ran, ran.stderr).toMatchObject({ code: 0 });
  return ran.stdout + ran.stderr;
}

async function statusOf(): Promise<Record<string, unknown>> {
  const [report] = JSON.parse((await connectors(['status', '--json'])).stdout) as [
    Record<string, unknown>,
  ];
  return report;
}

beforeAll(async () => {
  await fixture.open();
  await source.query(
    "INSERT INTO contacts (id, tenant_id, full_name) SELECT g, 'acme', 'first' FROM generate_series(1, $1) g",
    [ROWS],
  );
});
afterAll(() => fixture.close());

describe('reachflow connectors', { timeout: 120_000 }, () => {
  let records: TopicRecords;
  const snapshotRows = async () =>
    (await records.changes()).flatMap(({ key, change }) =>
      change?.op === 'r' ? [Number(key)] : [],
    );

  // The capture is removed with the others of the fixture, whatever becomes of this test.
  fixture.make({ tables: ['public.contacts'] });

  it('shows what an apply would change, and changes nothing', async () => {
    const shown = await succeeded(['apply', '--dry-run']);
    expect(shown).toContain(`${connector}: is created`);
    expect(shown).toContain('+ database.password = [redacted]');
    expect(shown).not.toMatch(/password = (?!\[redacted\])/);
    expect(await rest.configOf(connector)).toBeUndefined();
  });

  it('applies, and again without a change; then only what differs', async () => {
    expect(await succeeded(['apply'])).toContain(`${connector}: created, running`);
    const again = await succeeded(['apply', connector]);
    expect(again).toContain(`${connector}: is as configured`);
    expect(again).toContain('unchanged, running');
    const other = { REACHFLOW_DEBEZIUM_MAX_BATCH_SIZE: '1000' };
    expect(await succeeded(['apply', '--dry-run'], other)).toBe(
      `${connector}: 2 settings differ\n  ~ max.batch.size = 2048 → 1000\n  ~ max.queue.size = 8192 → 4000\n`,
    );
    expect(await statusOf()).toMatchObject({
      state: 'RUNNING',
      config: 'as configured',
      tasks: [{ id: 0, state: 'RUNNING' }],
      slot: { isActive: true, isLost: false, lagBytes: expect.any(Number) },
    });
  });

  it('reads rows again by signal, shows how far it is, and sets no change back', async () => {
    await eventually('the topic', async () => (await topicPartitions(client)).has(TOPIC));
    records = await fixture.follow(TOPIC);
    await eventually('the snapshot', async () => (await snapshotRows()).length === ROWS);
    await source.query("UPDATE contacts SET full_name = 'second' WHERE id = 7");
    const shown = await succeeded(['snapshot', 'public.contacts', '--where', 'id <= 2000']);
    expect(shown).toContain('public.contacts in progress, chunk 1 of ');
    expect(shown).toContain('public.contacts table scan completed, 2000 rows');
    expect(shown).toContain('incremental: completed');
    await eventually('all of it', async () => (await snapshotRows()).length === ROWS + 2_000);
    const again = (await snapshotRows()).slice(ROWS);
    expect(new Set(again).size).toBe(2_000);
    expect(Math.max(...again)).toBe(2_000);
    const versions = (await records.of(7)).map((change) => change?.version ?? -1n);
    expect(versions).toHaveLength(3);
    expect(versions).toEqual(versions.toSorted((a, b) => (a < b ? -1 : 1)));
    expect((await records.of(7)).at(-1)).toMatchObject({
      op: 'r',
      isSnapshot: true,
      after: { full_name: 'second' },
    });
    expect([...(await topicPartitions(client)).keys()]).not.toContain(
      'cdc.public.reachflow_signal',
    );
    expect(await statusOf()).toMatchObject({
      snapshot: { kind: 'incremental', type: 'COMPLETED' },
    });
  });

  it('pauses, resumes and restarts, and sends signals to a snapshot under way', async () => {
    await succeeded(['pause', connector]);
    const isIn = async (state: string) => (await rest.status(connector))?.connector.state === state;
    const runs = async () => (await rest.status(connector))?.tasks[0]?.state === 'RUNNING';
    await eventually('a pause', () => isIn('PAUSED'));
    const refused = await connectors(['snapshot', 'public.contacts']);
    expect(refused).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('CONNECTOR_NOT_RUNNING'),
    });
    await succeeded(['resume']);
    await eventually('running', runs);
    await succeeded(['restart', '--all-tasks']);
    await eventually('running again', runs);
    await succeeded(['signal', 'stop-snapshot']);
    const { rows } = await source.query('SELECT type FROM reachflow_signal WHERE type = $1', [
      'stop-snapshot',
    ]);
    expect(rows).toHaveLength(1);
  });

  it.each([
    [['status'], { REACHFLOW_CONNECT_URL: stack.registry.url }, 'CONNECT_URL_WRONG'],
    [['remove', connector], {}, 'NOT_CONFIRMED'],
  ])('%j %j: %s', async (args, env, code) => {
    expect(await connectors(args, env)).toMatchObject({
      code: 1,
      stderr: expect.stringContaining(`error ${code}`),
    });
  });

  it('removes connector, slot and publication', async () => {
    await succeeded(['remove', connector, '--yes']);
    const left = await source.query(
      'SELECT slot_name AS name FROM pg_replication_slots WHERE database = $1 UNION ALL SELECT pubname FROM pg_publication',
      [fixture.database],
    );
    expect(left.rows).toEqual([]);
    expect(await rest.configOf(connector)).toBeUndefined();
  });
});
