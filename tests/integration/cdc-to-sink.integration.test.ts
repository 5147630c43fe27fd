import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createConnectClient } from '../../connectors/debezium/connect-client.ts';
import type { DebeziumConnector } from '../../connectors/debezium/debezium-connector.ts';
import { captureNames } from '../../connectors/debezium/names.ts';
import { CaptureFixture } from '../../connectors/debezium/testing/capture-fixture.ts';
import { contactsPipeline } from '../../pipelines/contacts/topology.ts';
import { readDlq } from '../../runtime/delivery/dlq-reader.ts';
import { dlqOf } from '../../schemas/topics.ts';
import { postgresConfigSchema } from '../../sinks/postgres/config.ts';
import { createPostgresSink } from '../../sinks/postgres/sink.ts';
import { type InProcess, inProcess } from '../support/in-process.ts';
import { eventually, testLogger } from '../support/kafka.ts';

const TIMEOUT = 120_000;
const fixture = new CaptureFixture();
const { source } = fixture;
const { namespace } = fixture.kafka.client.config;
const rest = createConnectClient(fixture.connect, testLogger);
const { slot, connector } = captureNames(fixture.configOf(), namespace);
let capture: DebeziumConnector;
let product: InProcess;
let store: pg.Client;

interface Stored {
  readonly id: string;
  readonly full_name: string | null;
  readonly phone: string | null;
  readonly company_id: string | null;
  readonly tags: readonly string[] | null;
  readonly version: string;
}

async function stored(): Promise<Map<string, Stored>> {
  const { rows } = await store.query<Stored>(
    `SELECT id, full_name, phone, company_id, tags, version::text FROM "${namespace}".contacts`,
  );
  // The key is unique there, so that what would be a duplicate is a version too many.
  return new Map(rows.map((row) => [row.id, row]));
}

const insert = (id: number, name: string) =>
  source.query(
    "INSERT INTO contacts (id, tenant_id, full_name, email) VALUES ($1, 'acme', $2, $3)",
    [id, name, `c${id}@example.com`],
  );

/** Change data from Postgres through Debezium, the contacts pipeline and the Postgres sink. */
beforeAll(async () => {
  await fixture.open();
  // To be widened later.
  await source.query('ALTER TABLE contacts ALTER COLUMN company_id TYPE int');
  const config = { url: fixture.stack.postgres.url, schema: namespace };
  const sink = createPostgresSink(postgresConfigSchema.parse(config), { logger: testLogger });
  product = await inProcess(contactsPipeline, { namespace, partitions: 2, sinks: [sink] });
  await product.engine.prepare();
  capture = fixture.make({ onStop: 'stop', watchIntervalMs: 500 });
  await capture.start();
  await product.engine.start();
  store = new pg.Client({ connectionString: fixture.stack.postgres.url });
  await store.connect();
}, TIMEOUT);

afterAll(async () => {
  await product?.close();
  await store?.query(`DROP SCHEMA IF EXISTS "${namespace}" CASCADE`);
  await store?.end();
  await fixture.close();
}, TIMEOUT);

describe('change data, through to a store', { timeout: TIMEOUT }, () => {
  it('never writes the mark of a large value that an update left alone', async () => {
    const large = randomBytes(6_000).toString('base64');
    await source.query('ALTER TABLE contacts REPLICA IDENTITY DEFAULT');
    const setTags = 'UPDATE contacts SET tags = ARRAY[$2] WHERE id = $1';
    for (const id of [1, 2]) await insert(id, 'Ada');
    for (const id of [1, 2]) await source.query(setTags, [id, large]);
    await source.query("UPDATE contacts SET tenant_id = 'acme2' WHERE id = 1");
    await source.query('ALTER TABLE contacts REPLICA IDENTITY FULL');
    await source.query("UPDATE contacts SET phone = '+4915112345678' WHERE id = 2");
    await eventually('the update', async () => (await stored()).get('2')?.phone != null);
    const letters: string[] = [];
    await eventually('the dead letter', async () => {
      letters.length = 0;
      const queue = dlqOf('cdc.public.contacts', 'contacts');
      await readDlq(product.client, queue, ({ info }) => void letters.push(info.code));
      return letters.length > 0;
    });
    expect(letters).toEqual(['CDC_VALUE_UNAVAILABLE']);
    const rows = await stored();
    expect(rows.get('2')?.tags).toEqual([large]);
    // Without the old row nobody knows the value: that change is in the DLQ, what was before it stays.
    expect(rows.get('1')?.tags).toEqual([large]);
    expect(product.fatal).toEqual([]);
  });

  it('follows columns that are added, widened, renamed and dropped, while rows come in', async () => {
    const ddl = [
      'ALTER TABLE contacts ADD COLUMN note text',
      'ALTER TABLE contacts ALTER COLUMN company_id TYPE bigint',
      'ALTER TABLE contacts ADD COLUMN level int NOT NULL DEFAULT 3',
      'ALTER TABLE contacts RENAME COLUMN note TO remark',
      'ALTER TABLE contacts DROP COLUMN phone',
      'ALTER TABLE contacts ALTER COLUMN level TYPE bigint',
      'ALTER TABLE contacts DROP COLUMN remark',
    ];
    const perStep = 40;
    let id = 100;
    for (const sql of ddl) {
      for (let i = 0; i < perStep; i += 1, id += 1) {
        await insert(id, `Contact ${id}`);
        if (i === perStep / 2) await source.query(sql);
      }
    }
    const last = id - 1;
    await source.query('UPDATE contacts SET company_id = 5000000000 WHERE id = $1', [last]);
    await source.query('DELETE FROM contacts WHERE id = 100');
    await eventually(
      'the last change',
      async () => {
        const rows = await stored();
        return rows.get(String(last))?.company_id === '5000000000' && !rows.has('100');
      },
      60_000,
    );
    const rows = await stored();
    const { rows: expected } = await source.query<{ id: string; full_name: string }>(
      'SELECT id::text, full_name FROM contacts WHERE id >= 100',
    );
    expect(expected).toHaveLength(ddl.length * perStep - 1);
    for (const row of expected) expect(rows.get(row.id)?.full_name).toBe(row.full_name);
    expect([...rows.keys()].filter((key) => Number(key) >= 100)).toHaveLength(expected.length);
    const state = await rest.status(connector);
    expect(state?.tasks.map((task) => task.state)).toEqual(['RUNNING']);
    expect(product.fatal).toEqual([]);
  });

  it('says that its slot is lost, and the documented way back ends with every row once', async () => {
    await capture.stop();
    // What a failover to a standby without it amounts to.
    await eventually('the slot is gone', async () => {
      const drop =
        'SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = $1 AND NOT active';
      return (await source.query(drop, [slot])).rowCount === 1;
    });
    await insert(1_000, 'while nobody looked');
    await source.query("UPDATE contacts SET full_name = 'changed' WHERE id = 101");
    await source.query('DELETE FROM contacts WHERE id = 102');
    await expect(capture.start()).rejects.toMatchObject({
      code: 'CDC_SLOT_LOST',
      message: expect.stringContaining(`its slot ${slot} does not exist any more`),
      hint: expect.stringContaining(`reachflow connectors remove ${connector} --yes`),
    });
    // The guide's: remove, apply.
    const before = await stored();
    await capture.remove();
    const { rows: at } = await source.query<{ lsn: string }>(
      "SELECT (pg_current_wal_lsn() - '0/0')::text AS lsn",
    );
    await capture.start();
    await eventually('what was missed', async () => {
      const rows = await stored();
      return rows.has('1000') && rows.get('101')?.full_name === 'changed';
    });
    await eventually('every row again', async () => {
      const old = [...(await stored()).values()].filter(
        ({ version }) => BigInt(version) < BigInt(at[0]?.lsn ?? 0),
      );
      // The guide's query for rows that were deleted meanwhile finds this one, and no other.
      return old.length === 1 && old[0]?.id === '102';
    });
    const { rows: expected } = await source.query<{ id: string; full_name: string }>(
      'SELECT id::text, full_name FROM contacts',
    );
    const rows = await stored();
    expect(rows.size).toBe(expected.length + 1);
    for (const row of expected) expect(rows.get(row.id)?.full_name).toBe(row.full_name);
    expect(rows.size).toBe(before.size + 1);
    await insert(1_001, 'goes on');
    await eventually('a fresh row', async () => (await stored()).has('1001'));
  });
});
