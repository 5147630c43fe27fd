import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { topicPartitions } from '../../runtime/kafka/admin.ts';
import { readTopic } from '../../runtime/kafka/reader.ts';
import { readEnvelope } from '../../schemas/envelope.ts';
import { eventually, kafkaFixture, testLogger } from '../../tests/support/kafka.ts';
import { describeConnectorConformance } from '../conformance.ts';
import { createConnectClient } from './connect-client.ts';
import { debeziumConnectorConfig } from './connector-config.ts';
import { createDebeziumConnector } from './debezium-connector.ts';
import { captureNames } from './names.ts';
import { captureDelivery } from './testing/capture-delivery.ts';
import { CaptureFixture, type TopicRecords } from './testing/capture-fixture.ts';

const TIMEOUT = 90_000;
const TOPIC = 'cdc.public.contacts';
const fixture = new CaptureFixture();
const { source, databaseUrl, connect } = fixture;
const { client: kafka, codec } = fixture.kafka;
const rest = createConnectClient(connect, testLogger);
const makeConnector = fixture.make.bind(fixture);
const configOf = fixture.configOf.bind(fixture);
/** A capture that is stopped in its first snapshot begins that again: no other test reads what the suite's has. */
const contract = `${kafka.config.namespace}a`;
const delivery = captureDelivery(fixture, contract);
const environment = fixture.environment.bind(fixture);

beforeAll(async () => {
  await fixture.open();
  await source.query("INSERT INTO contacts (id, tenant_id, full_name) VALUES (1, 'acme', 'Ada')");
}, TIMEOUT);
afterAll(() => fixture.close(), 2 * TIMEOUT);

describeConnectorConformance(
  'debezium',
  () => makeConnector({ onStop: 'stop' }, contract),
  TIMEOUT,
  () => delivery,
);

describe('a capture', { timeout: TIMEOUT }, () => {
  let records: TopicRecords;
  const changesOf = (id: number) => records.of(id);

  beforeAll(async () => {
    await makeConnector().start();
    await eventually('the topic exists', async () => (await topicPartitions(kafka)).has(TOPIC));
    records = await fixture.follow(TOPIC);
  }, TIMEOUT);

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
    const count = records.records.length;
    await source.query("INSERT INTO contacts (id, tenant_id) VALUES (4, 'acme')");
    await eventually('the next row', async () => (await changesOf(4)).length === 1);
    expect(records.records).toHaveLength(count + 1);
  });

  it('moves its slot on while only other tables change', async () => {
    const { slot } = captureNames(configOf(), kafka.config.namespace);
    await source.query('CREATE TABLE unrelated (id int)');
    const { rows } = await source.query<{ at: string }>(
      'INSERT INTO unrelated VALUES (1) RETURNING pg_current_wal_insert_lsn()::text AS at',
    );
    const written = rows[0]?.at;
    await eventually('the slot has passed the other table', async () => {
      const at = await fixture.slotPosition(slot);
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
    expect(await fixture.slotPosition(slot)).toBeUndefined();
    const found = 'SELECT 1 FROM pg_publication WHERE pubname = $1';
    expect((await source.query(found, [publication])).rowCount).toBe(0);
    await connector.start();
    expect((await connector.status()).state).toBe('running');
    await eventually('the second snapshot', () => snapshotTimes(2));
  });

  it('is the way out for a capture that has lost its slot, which start names', async () => {
    const namespace = `${kafka.config.namespace}e`;
    const { slot } = captureNames(configOf(), namespace);
    const connector = makeConnector({ onStop: 'stop' }, namespace);
    await connector.start();
    await eventually('its slot', async () => (await fixture.slotPosition(slot)) !== undefined);
    await connector.stop();
    await eventually('the slot is let go', async () => {
      const drop =
        'SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = $1 AND NOT active';
      return (await source.query(drop, [slot])).rowCount === 1;
    });
    await expect(connector.start()).rejects.toMatchObject({
      code: 'CDC_SLOT_LOST',
      hint: expect.stringContaining('reachflow connectors remove'),
    });
    await connector.remove();
    await connector.start();
    expect((await connector.status()).state).toBe('running');
  });
});
