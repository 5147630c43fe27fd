import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { topicPartitions } from '../../runtime/kafka/admin.ts';
import { followTopic, readTopic, type TopicFollower } from '../../runtime/kafka/reader.ts';
import type { KafkaRecord } from '../../runtime/kafka/record.ts';
import { readEnvelope } from '../../schemas/envelope.ts';
import { testStack } from '../../tests/integration/stack.ts';
import { eventually, kafkaFixture, testLogger } from '../../tests/support/kafka.ts';
import { describeConnectorConformance } from '../conformance.ts';
import { connectConfigSchema, type DebeziumConfig, debeziumConfigSchema } from './config.ts';
import { createConnectClient } from './connect-client.ts';
import { captureNames, debeziumConnectorConfig } from './connector-config.ts';
import { createDebeziumConnector, type DebeziumConnector } from './debezium-connector.ts';

const TIMEOUT = 90_000;
const TOPIC = 'cdc.public.contacts';
const stack = testStack();
const { client: kafka, codec } = kafkaFixture();
const connect = connectConfigSchema.parse({ url: stack.connect.url });
const rest = createConnectClient(connect, testLogger);
const database = `cdc_${randomBytes(4).toString('hex')}`;
const databaseUrl = Object.assign(new URL(stack.postgres.url), { pathname: `/${database}` }).href;
const created: DebeziumConnector[] = [];
let source: pg.Client;

function configOf(fields: Partial<DebeziumConfig> = {}): DebeziumConfig {
  // A stack of one's own (REACHFLOW_TEST_STACK) may have the converter under another name.
  const converterClass = process.env['REACHFLOW_DEBEZIUM_CONVERTER_CLASS'];
  return debeziumConfigSchema.parse({
    pollIntervalMs: 50,
    heartbeatIntervalMs: 500,
    ...(converterClass === undefined ? {} : { converterClass }),
    ...fields,
  });
}

function environment(namespace = kafka.config.namespace) {
  return {
    databaseUrl,
    registryUrl: stack.registry.url,
    namespace,
    partitions: 2,
    replicationFactor: 1,
  };
}

/** A capture of this test's database, removed at the end. Each namespace is a capture of its own. */
function makeConnector(
  fields: Partial<DebeziumConfig> = {},
  namespace?: string,
): DebeziumConnector {
  const deps = { ...environment(namespace), connect, logger: testLogger };
  const connector = createDebeziumConnector(configOf(fields), deps);
  created.push(connector);
  return connector;
}

async function onAdminDatabase(sql: string): Promise<void> {
  const admin = new pg.Client({ connectionString: stack.postgres.url });
  await admin.connect();
  try {
    await admin.query(sql);
  } finally {
    await admin.end();
  }
}

async function slotPosition(slot: string): Promise<string | undefined> {
  const { rows } = await source.query<{ at: string }>(
    'SELECT confirmed_flush_lsn::text AS at FROM pg_replication_slots WHERE slot_name = $1',
    [slot],
  );
  return rows[0]?.at;
}

beforeAll(async () => {
  await onAdminDatabase(`CREATE DATABASE ${database}`);
  source = new pg.Client({ connectionString: databaseUrl });
  await source.connect();
  const tables = new URL('../../compose/sql/source.sql', import.meta.url);
  await source.query(await readFile(tables, 'utf8'));
  await source.query("INSERT INTO contacts (id, tenant_id, full_name) VALUES (1, 'acme', 'Ada')");
}, TIMEOUT);

afterAll(async () => {
  for (const connector of created) await connector.remove();
  await source.end();
  await onAdminDatabase(`DROP DATABASE ${database} WITH (FORCE)`);
}, 2 * TIMEOUT);

describeConnectorConformance('debezium', () => makeConnector({ onStop: 'stop' }), TIMEOUT);

describe('a capture', { timeout: TIMEOUT }, () => {
  const records: KafkaRecord[] = [];
  let follower: TopicFollower | undefined;

  beforeAll(async () => {
    await makeConnector().start();
    await eventually('the topic exists', async () => (await topicPartitions(kafka)).has(TOPIC));
    const onRecord = (record: KafkaRecord) => void records.push(record);
    follower = await followTopic(kafka, { topic: TOPIC, onRecord });
  }, TIMEOUT);
  afterAll(async () => {
    await follower?.stop();
  });

  /** What the topic says of one row so far, oldest first; a tombstone is undefined. */
  async function changesOf(id: number) {
    const values = records.map(({ value }) => value);
    const keyBytes = records.map(({ key }) => key);
    await codec.load(TOPIC, values, keyBytes);
    const keys = keyBytes.map((key) => codec.decodeKey(TOPIC, key));
    const own = records.filter((_, i) => keys[i] === String(id));
    return own.map(({ value }) => {
      const change = readEnvelope(value === null ? null : codec.decode(TOPIC, value));
      if (change?.kind === 'refused') throw change.error;
      return change;
    });
  }

  it('reads the rows that were there, into a topic made by the map', async () => {
    await eventually('the snapshot', async () => (await changesOf(1)).length === 1);
    expect(await changesOf(1)).toMatchObject([
      {
        op: 'r',
        isSnapshot: true,
        tableName: 'contacts',
        before: null,
        after: { id: 1, full_name: 'Ada', tags: [], created_at: expect.stringMatching(/^\d.*Z$/) },
      },
    ]);
    expect((await topicPartitions(kafka)).get(TOPIC)).toBe(2);
  });

  it('turns insert, update and delete into records, in order, then a tombstone', async () => {
    await source.query("INSERT INTO contacts (id, tenant_id, email) VALUES (2, 'acme', 'a@b.io')");
    await source.query("UPDATE contacts SET email = 'c@d.io', tags = '{vip}' WHERE id = 2");
    await source.query('DELETE FROM contacts WHERE id = 2');
    await eventually('four records', async () => (await changesOf(2)).length === 4);
    const changes = await changesOf(2);
    expect(changes).toMatchObject([
      { op: 'c', isSnapshot: false, after: { id: 2, tenant_id: 'acme', email: 'a@b.io' } },
      { op: 'u', before: { email: 'a@b.io' }, after: { email: 'c@d.io', tags: ['vip'] } },
      { op: 'd', before: { id: 2, email: 'c@d.io' }, after: null },
      undefined,
    ]);
    const versions = changes.flatMap((change) => (change === undefined ? [] : [change.version]));
    expect(versions).toEqual(versions.toSorted((a, b) => (a < b ? -1 : 1)));
    expect(new Set(versions).size).toBe(3);
  });

  it('has the whole row also when an update leaves a large value alone', async () => {
    const large = randomBytes(8_000).toString('hex');
    await source.query("INSERT INTO contacts (id, tenant_id, full_name) VALUES (3, 'acme', $1)", [
      large,
    ]);
    await source.query("UPDATE contacts SET phone = '+1' WHERE id = 3");
    await eventually('two records', async () => (await changesOf(3)).length === 2);
    expect((await changesOf(3))[1]).toMatchObject({ after: { full_name: large, phone: '+1' } });
  });

  it('is not touched by applying the same configuration again', async () => {
    const { connector } = captureNames(configOf(), kafka.config.namespace);
    const wanted = debeziumConnectorConfig(configOf(), environment());
    const before = await rest.status(connector);
    expect(await rest.apply(connector, wanted)).toBe('unchanged');
    await makeConnector().start();
    expect(await rest.status(connector)).toEqual(before);
    const count = records.length;
    await source.query("INSERT INTO contacts (id, tenant_id) VALUES (4, 'acme')");
    await eventually('the next row', async () => (await changesOf(4)).length === 1);
    expect(records).toHaveLength(count + 1);
  });

  it('moves its slot on while only other tables change', async () => {
    const { slot } = captureNames(configOf(), kafka.config.namespace);
    await source.query('CREATE TABLE unrelated (id int)');
    const { rows } = await source.query<{ at: string }>(
      'INSERT INTO unrelated VALUES (1) RETURNING pg_current_wal_insert_lsn()::text AS at',
    );
    const written = rows[0]?.at;
    await eventually('the slot has passed the other table', async () => {
      const at = await slotPosition(slot);
      const passed = await source.query('SELECT $1::pg_lsn > $2::pg_lsn AS passed', [at, written]);
      return passed.rows[0]?.passed === true;
    });
    // The heartbeat's own messages are not published.
    expect([...(await topicPartitions(kafka)).keys()]).not.toContain('cdc.message');
  });
});

describe('what cannot be captured', { timeout: TIMEOUT }, () => {
  it('is refused with the SQL that corrects it, and that SQL does', async () => {
    await source.query('ALTER TABLE events REPLICA IDENTITY DEFAULT');
    const connector = makeConnector({}, `${kafka.config.namespace}b`);
    const error: unknown = await connector.start().catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({
      code: 'CDC_SOURCE_NOT_READY',
      hint: 'ALTER TABLE public.events REPLICA IDENTITY FULL;',
    });
    expect((await connector.status()).state).toBe('stopped');
    await source.query((error as { hint: string }).hint);
    await connector.start();
    expect((await connector.status()).state).toBe('running');
  });

  it('names a class that the worker does not have', async () => {
    const connector = makeConnector(
      { converterClass: 'no.such.Converter' },
      `${kafka.config.namespace}c`,
    );
    await expect(connector.start()).rejects.toMatchObject({
      code: 'CONNECT_CONFIG_INVALID',
      message: expect.stringContaining('no.such.Converter'),
    });
  });

  it('says when the database refuses or is away', async () => {
    const deps = { ...environment(), connect, logger: testLogger };
    const start = (url: string) =>
      createDebeziumConnector(configOf(), { ...deps, databaseUrl: url }).start();
    const missing = Object.assign(new URL(databaseUrl), { pathname: '/no_such_database' }).href;
    await expect(start(missing)).rejects.toMatchObject({ code: 'CDC_SOURCE_REFUSED' });
    const away = Object.assign(new URL(databaseUrl), { port: '1' }).href;
    await expect(start(away)).rejects.toMatchObject({
      code: 'CDC_SOURCE_UNAVAILABLE',
      retry: 'backoff',
    });
  });
});

describe('remove', { timeout: 2 * TIMEOUT }, () => {
  it('leaves no slot and no publication, and the next start reads everything again', async () => {
    const { client } = kafkaFixture({ namespace: `${kafka.config.namespace}d` });
    const { slot, publication } = captureNames(configOf(), client.config.namespace);
    const connector = makeConnector({}, client.config.namespace);
    let ids: number[] = [];
    const snapshotTimes = async (times: number) => {
      if (!(await topicPartitions(client)).has(TOPIC)) return false;
      const values: (Buffer | null)[] = [];
      await readTopic(client, { topic: TOPIC, onRecord: ({ value }) => void values.push(value) });
      await codec.load(TOPIC, values);
      const changes = values.map((value) => value && readEnvelope(codec.decode(TOPIC, value)));
      const read = changes.flatMap((change) => (change?.kind === 'change' ? [change] : []));
      expect(read.every((change) => change.isSnapshot)).toBe(true);
      ids = read.flatMap((change) => (change.after === null ? [] : [change.after.id]));
      return ids.filter((id) => id === 1).length === times;
    };
    await connector.start();
    await eventually('the first snapshot', () => snapshotTimes(1));
    await connector.remove();
    await connector.remove();
    expect(await slotPosition(slot)).toBeUndefined();
    const found = 'SELECT 1 FROM pg_publication WHERE pubname = $1';
    expect((await source.query(found, [publication])).rowCount).toBe(0);
    await connector.start();
    expect((await connector.status()).state).toBe('running');
    await eventually('the second snapshot', () => snapshotTimes(2));
  });

  it('is the way out for a task that has lost its slot, which start or status names', async () => {
    const namespace = `${kafka.config.namespace}e`;
    const { slot } = captureNames(configOf(), namespace);
    const connector = makeConnector({ onStop: 'stop', maxRestarts: 1 }, namespace);
    await connector.start();
    await eventually('its slot', async () => (await slotPosition(slot)) !== undefined);
    await connector.stop();
    await eventually('the slot is let go', async () => {
      const drop =
        'SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = $1 AND NOT active';
      return (await source.query(drop, [slot])).rowCount === 1;
    });
    // On a busy worker the task runs for longer before it notices: then its status names it.
    const error = await connector.start().then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
    if (error === undefined) {
      await eventually('the task has failed', async () =>
        /task 0 failed: \S/.test((await connector.status()).detail ?? ''),
      );
    } else {
      expect(error).toMatchObject({
        code: 'CDC_TASK_FAILED',
        message: expect.stringMatching(/task 0 failed: \S/),
      });
    }
    await connector.remove();
    await connector.start();
    expect((await connector.status()).state).toBe('running');
  });
});
