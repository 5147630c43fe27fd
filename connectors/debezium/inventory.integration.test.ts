import { readFile } from 'node:fs/promises';
import avro from 'avsc';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { topicPartitions } from '../../runtime/kafka/admin.ts';
import { readTopic } from '../../runtime/kafka/reader.ts';
import { eventually, testLogger } from '../../tests/support/kafka.ts';
import { createConnectClient } from './connect-client.ts';
import { debeziumConnectorConfig } from './connector-config.ts';
import { captureNames } from './names.ts';
import { CaptureFixture } from './testing/capture-fixture.ts';

const TABLES = ['products', 'products_on_hand', 'customers', 'orders'];
const TIMEOUT = 120_000;
const fixture = new CaptureFixture();
const { client } = fixture.kafka;
const rest = createConnectClient(fixture.connect, testLogger);
const config = fixture.configOf({ tables: ['public.contacts'], signalTable: '' });
const { connector } = captureNames(config, client.config.namespace);

beforeAll(async () => {
  await fixture.open();
  const sql = new URL('./testing/inventory.sql', import.meta.url);
  await fixture.source.query(await readFile(sql, 'utf8'));
  // Its connector is removed with the fixture's captures.
  fixture.make({ tables: ['public.contacts'], signalTable: '' });
}, TIMEOUT);
afterAll(() => fixture.close(), TIMEOUT);

/** Rows as the table's topic has them, whatever columns it has: decoded with the writer's schema. */
async function captured(table: string): Promise<unknown[]> {
  const topic = `cdc.inventory.${table}`;
  const values: Buffer[] = [];
  await readTopic(client, { topic, onRecord: ({ value }) => void (value && values.push(value)) });
  const rows: unknown[] = [];
  for (const value of values) {
    const url = `${fixture.stack.registry.url}/schemas/ids/${value.readInt32BE(1)}`;
    const { schema } = (await (await fetch(url)).json()) as { schema: string };
    const writer = JSON.parse(schema) as { fields: { name: string }[] };
    // Without `source`, whose nanoseconds are beyond a number.
    const fields = writer.fields.filter(({ name }) => ['before', 'after', 'op'].includes(name));
    const reader = avro.Type.forSchema({ ...writer, fields } as never);
    const resolver = reader.createResolver(avro.Type.forSchema(writer as never));
    const { after } = reader.fromBuffer(value.subarray(5), resolver) as { after: object };
    rows.push({ ...after });
  }
  return rows;
}

/** In the order of their ids, which the topic's partitions do not keep. */
function ordered(rows: unknown[]): unknown[] {
  return rows.toSorted((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1));
}

it("captures Debezium's inventory database whole", { timeout: TIMEOUT }, async () => {
  const wanted = debeziumConnectorConfig(config, fixture.environment());
  await rest.apply(connector, { ...wanted, 'table.include.list': 'inventory\\..*' });
  for (const table of TABLES) {
    const { rows } = await fixture.source.query<{ row: unknown }>(
      // A date is days since 1970 in a record.
      `SELECT to_jsonb(t) ${table === 'orders' ? "|| jsonb_build_object('order_date', order_date - '1970-01-01'::date)" : ''} AS row FROM inventory.${table} t`,
    );
    const topic = `cdc.inventory.${table}`;
    await eventually(topic, async () => (await topicPartitions(client)).has(topic));
    await eventually(table, async () => (await captured(table)).length === rows.length);
    const keys = (row: unknown) =>
      Object.fromEntries(Object.entries(row as object).sort(([a], [b]) => (a < b ? -1 : 1)));
    expect(ordered((await captured(table)).map(keys))).toEqual(
      ordered(rows.map(({ row }) => keys(row))),
    );
  }
});
