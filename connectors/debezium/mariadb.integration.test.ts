import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { topicPartitions } from '../../runtime/kafka/admin.ts';
import { eventually, testLogger } from '../../tests/support/kafka.ts';
import { findMariaDb, type MariaDb, startMariaDb } from '../../tests/support/mariadb.ts';
import { Capture } from './capture.ts';
import type { DebeziumConfig } from './config.ts';
import { requestSnapshot } from './signals.ts';
import { CaptureFixture, type TopicRecords } from './testing/capture-fixture.ts';

const TIMEOUT = 120_000;
const TOPIC = 'cdc.public.contacts';
const found = await findMariaDb();
if ('missing' in found) process.stderr.write(`skipped: ${found.missing}\n`);

const CONTACTS = `(
  id bigint PRIMARY KEY, tenant_id varchar(50) NOT NULL, full_name text, email varchar(200),
  phone varchar(50), company_id bigint,
  created_at timestamp(6) NOT NULL DEFAULT current_timestamp(6),
  updated_at timestamp(6) NOT NULL DEFAULT current_timestamp(6)
)`;

describe.skipIf('missing' in found)('a capture of MariaDB', { timeout: TIMEOUT }, () => {
  const fixture = new CaptureFixture();
  const { client } = fixture.kafka;
  let mariadb: MariaDb;
  let records: TopicRecords;

  const settings = (fields: Partial<DebeziumConfig> = {}): Partial<DebeziumConfig> => ({
    database: 'mariadb',
    databaseUrl: mariadb.url,
    tables: ['public.contacts'],
    shards: { 'public.contacts': 'shop_[0-9]\\.contacts' },
    signalTable: 'shop_0.reachflow_signal',
    ...fields,
  });
  const sql = (text: string) => mariadb.admin.query(text);

  beforeAll(async () => {
    if ('missing' in found) return;
    await fixture.open();
    mariadb = await startMariaDb(found);
    for (const shard of ['shop_0', 'shop_1']) {
      await sql(`CREATE DATABASE ${shard}`);
      await sql(`CREATE TABLE ${shard}.contacts ${CONTACTS}`);
    }
    await sql("INSERT INTO shop_0.contacts (id, tenant_id, full_name) VALUES (1, 'acme', 'Ada')");
    await sql("INSERT INTO shop_1.contacts (id, tenant_id, full_name) VALUES (2, 'beta', 'Bob')");
  }, TIMEOUT);
  afterAll(async () => {
    await fixture.close();
    await mariadb?.remove();
  }, TIMEOUT);

  it('is refused with the SQL that corrects it, and that SQL does', async () => {
    await sql('SET GLOBAL binlog_row_image = MINIMAL');
    await sql('SET GLOBAL gtid_strict_mode = OFF');
    await sql("GRANT SELECT ON shop_1.* TO cdc@'%'");
    const connector = fixture.make(settings());
    const error: unknown = await connector.start().catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: 'CDC_SOURCE_NOT_READY' });
    const fixes = (error as { hint: string }).hint;
    expect(fixes).toContain("SET GLOBAL binlog_row_image = 'FULL'");
    expect(fixes).toContain(
      "GRANT REPLICATION SLAVE, REPLICATION CLIENT, RELOAD ON *.* TO 'cdc'@'%'",
    );
    expect(fixes).toContain('CREATE TABLE IF NOT EXISTS shop_0.reachflow_signal');
    await sql(fixes);
    await sql("GRANT SELECT, SHOW DATABASES ON *.* TO cdc@'%'");
    await connector.start();
    expect((await connector.status()).state).toBe('running');
  });

  it('reads what was there, from every shard into one topic', async () => {
    await eventually('the topic', async () => (await topicPartitions(client)).has(TOPIC), 20_000);
    records = await fixture.follow(TOPIC);
    await eventually('both rows', async () => (await records.changes()).length === 2);
    expect((await records.of(1))[0]).toMatchObject({
      op: 'r',
      isSnapshot: true,
      tableName: 'contacts',
      // Text in UTC, as Postgres's timestamptz.
      after: { id: 1, full_name: 'Ada', tags: null, created_at: expect.stringMatching(/^\d.*Z$/) },
    });
    expect((await records.of(2))[0]).toMatchObject({ after: { tenant_id: 'beta' } });
  });

  it('turns insert, update and delete into records whose versions grow, then a tombstone', async () => {
    await sql("INSERT INTO shop_1.contacts (id, tenant_id) VALUES (3, 'acme')");
    // Two updates of a row in one statement are two rows of one event of the binlog.
    await sql(
      "INSERT INTO shop_1.contacts (id, tenant_id) VALUES (3, 'x'), (3, 'y') ON DUPLICATE KEY UPDATE phone = concat(coalesce(phone, ''), '1')",
    );
    await sql('FLUSH BINARY LOGS');
    await sql("UPDATE shop_1.contacts SET email = 'a@b.io' WHERE id = 3");
    await sql('DELETE FROM shop_1.contacts WHERE id = 3');
    await eventually('the deletion', async () => (await records.of(3)).length === 6);
    const changes = await records.of(3);
    expect(changes).toMatchObject([
      { op: 'c', after: { tenant_id: 'acme' } },
      { op: 'u', after: { phone: '1' } },
      { op: 'u', before: { phone: '1' }, after: { phone: '11' } },
      { op: 'u', after: { email: 'a@b.io' } },
      { op: 'd', before: { id: 3, email: 'a@b.io' }, after: null },
      undefined,
    ]);
    const versions = changes.flatMap((change) => (change === undefined ? [] : [change.version]));
    expect(versions).toEqual(versions.toSorted((a, b) => (a < b ? -1 : 1)));
    expect(new Set(versions).size).toBe(5);
    const first = (await records.of(1))[0]?.version ?? 0n;
    expect(versions[0]).toBeGreaterThan(first);
  });

  it('gives times the types that Postgres gives them', async () => {
    const columns = ['day date', 'clock time(3)', 'clock6 time(6)'];
    const typesIn = async (namespace: string) => {
      const url = `${fixture.stack.registry.url}/subjects/${namespace}.${TOPIC}-value/versions/latest`;
      const answer = (await (await fetch(url)).json()) as { schema?: string };
      const fields = new Map<string, unknown>();
      JSON.parse(answer.schema ?? '{}', (_key, node: unknown) => {
        const field = node as { name?: string; type?: unknown } | null;
        if (typeof field?.name === 'string' && field.type !== 'record')
          fields.set(field.name, field.type);
        return node;
      });
      return ['day', 'clock', 'clock6', 'moment3', 'moment6', 'created_at'].map((name) => {
        const type = fields.get(name);
        const named = Array.isArray(type) ? type.find((one) => one !== 'null') : type;
        const { type: plain, 'connect.name': meaning } = (named ?? {}) as Record<string, unknown>;
        return [name, plain, meaning];
      });
    };
    const add = (table: string, moment: string) =>
      `ALTER TABLE ${table} ${[...columns, `moment3 ${moment}(3)`, `moment6 ${moment}(6)`].map((column) => `ADD ${column}`).join(', ')}`;
    const { namespace } = client.config;
    await sql(add('shop_0.contacts', 'datetime'));
    await sql("INSERT INTO shop_0.contacts (id, tenant_id) VALUES (9, 'acme')");
    await fixture.source.query(add('contacts', 'timestamp'));
    await fixture.source.query("INSERT INTO contacts (id, tenant_id) VALUES (9, 'acme')");
    await fixture.make({ tables: ['public.contacts'] }, `${namespace}p`).start();
    await eventually('both schemas', async () => {
      const both = [await typesIn(namespace), await typesIn(`${namespace}p`)];
      return both.every((types) => types.every(([, plain]) => plain !== undefined));
    });
    const types = await typesIn(namespace);
    expect(types).toEqual(await typesIn(`${namespace}p`));
    expect(types).toEqual([
      ['day', 'int', 'io.debezium.time.Date'],
      ['clock', 'long', 'io.debezium.time.MicroTime'],
      ['clock6', 'long', 'io.debezium.time.MicroTime'],
      ['moment3', 'long', 'io.debezium.time.MicroTimestamp'],
      ['moment6', 'long', 'io.debezium.time.MicroTimestamp'],
      ['created_at', 'string', 'io.debezium.time.ZonedTimestamp'],
    ]);
  });

  it('reads rows again by signal, newer than what was before', async () => {
    await sql("UPDATE shop_0.contacts SET full_name = 'Ada L.' WHERE id = 1");
    await eventually('the update', async () => (await records.of(1)).length === 2);
    const { config, ...deps } = {
      config: fixture.configOf(settings()),
      ...fixture.environment(),
      connect: fixture.connect,
      logger: testLogger,
    };
    const capture = new Capture({ source: '', config }, deps);
    await requestSnapshot(capture.source, capture.config, ['public.contacts']);
    await eventually('both again', async () => {
      const again = [(await records.of(1)).at(-1), (await records.of(2)).at(-1)];
      return again.every((change) => change?.op === 'r') && (await records.of(2)).length === 2;
    });
    const ada = await records.of(1);
    expect(ada.at(-1)).toMatchObject({ isSnapshot: true, after: { full_name: 'Ada L.' } });
    const versions = ada.map((change) => change?.version ?? 0n);
    expect(versions).toEqual(versions.toSorted((a, b) => (a < b ? -1 : 1)));
    expect((await topicPartitions(client)).has('cdc.shop_0.reachflow_signal' as never)).toBe(false);
  });
});
