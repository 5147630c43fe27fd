import { randomUUID } from 'node:crypto';
import pg from 'pg';
import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Sink, SinkRecord } from '../../runtime/delivery/sink.ts';
import { ReachflowError } from '../../runtime/errors.ts';
import type { StoreSpec } from '../../schemas/stores.ts';
import { testStack } from '../../tests/integration/stack.ts';
import { fieldsOf, type TableModel, tableModel } from '../fields.ts';
import { batchOf, contactRecord } from '../fixtures.ts';
import { find } from './catalog.ts';
import { postgresConfigSchema } from './config.ts';
import { planPostgresEvolution } from './evolution.ts';
import { tableOf } from './schema.ts';
import { createPostgresSink } from './sink.ts';

const deps = { logger: pino({ level: 'silent' }) };
const contacts = tableModel('contact.golden');
const counts = tableModel('metric.tenant.count');
const schemas: string[] = [];
const sinks: Sink[] = [];
let db: pg.Client;

beforeAll(async () => {
  db = new pg.Client({ connectionString: testStack().postgres.url });
  await db.connect();
});

afterAll(async () => {
  await Promise.all(sinks.map((sink) => sink.close()));
  for (const schema of schemas) await db.query(`DROP SCHEMA IF EXISTS ${schema} CASCADE`);
  await db.end();
});

function freshSchema(): string {
  const schema = `sink_test_${randomUUID().slice(0, 8)}`;
  schemas.push(schema);
  return schema;
}

function create(schema: string, ...models: readonly TableModel[]): Sink {
  const config = postgresConfigSchema.parse({ url: testStack().postgres.url, schema });
  const sink = createPostgresSink(config, deps, models);
  sinks.push(sink);
  return sink;
}

/** As the runner does: a change of a table in use may have to wait for its lock more than once. */
async function openAtLast(sink: Sink): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await sink.open();
    } catch (error) {
      const again = error instanceof ReachflowError && error.retry === 'backoff';
      if (!again || attempt === 50) throw error;
    }
  }
}

async function open(schema: string, ...models: readonly TableModel[]): Promise<Sink> {
  const sink = create(schema, ...models);
  await sink.open();
  return sink;
}

function modelOf(fields: readonly object[], spec: Partial<StoreSpec>): TableModel {
  return {
    topic: 'test.things',
    fields: fieldsOf(JSON.stringify({ type: 'record', name: 'Thing', fields })),
    spec: {
      ...{ table: 'things', comment: 'Things.', stores: ['postgres'], kind: 'append' as const },
      ...{ key: ['id'], deletes: false },
      ...spec,
    },
  };
}

function changed(model: TableModel, ...fields: readonly object[]): TableModel {
  const added = fieldsOf(JSON.stringify({ type: 'record', name: 'R', fields }));
  const names = new Set(added.map(({ name }) => name));
  return { ...model, fields: [...model.fields.filter(({ name }) => !names.has(name)), ...added] };
}

let nextOffset = 0n;
const thing = (value: Record<string, unknown>, topic = 'test.things'): SinkRecord => ({
  ...{ topic, value, key: 'k', partition: 0, timestamp: 0 },
  offset: nextOffset++,
  version: typeof value['version'] === 'bigint' ? value['version'] : 0n,
});

async function deliver(sink: Sink, ...records: readonly SinkRecord[]): Promise<void> {
  const results = await sink.write(batchOf(records));
  expect(results.map((result) => ('error' in result ? result.error : result.status))).toEqual(
    records.map(() => 'delivered'),
  );
}

const long = { type: 'long', logicalType: 'bigint' };
const timestamp = { type: 'long', logicalType: 'timestamp-millis' };
const date = { type: 'int', logicalType: 'date' };

describe('tables of any topic', () => {
  it('keep every kind of field as it is, null or not', async () => {
    const array = (items: unknown) => ({ type: 'array', items });
    const kinds: Readonly<Record<string, readonly [type: unknown, value: unknown, text: string]>> =
      {
        b: ['boolean', true, 'true'],
        i: ['int', -2_147_483_648, '-2147483648'],
        l: ['long', -Number.MAX_SAFE_INTEGER, '-9007199254740991'],
        l2: ['long', 4_294_967_296, '4294967296'],
        g: [long, -(2n ** 63n), '-9223372036854775808'],
        f: ['float', Math.fround(0.1), '0.1'],
        d: ['double', -1.5e300, '-1.5e+300'],
        s: ['string', `it's "ä" \\ 👍`, `it's "ä" \\ 👍`],
        y: ['bytes', Buffer.from([0, 255, 10]), '\\x00ff0a'],
        t: [timestamp, -62_135_596_800_001, '0001-12-31 23:59:59.999+00 BC'],
        t2: [timestamp, 8_640_000_000_000_000, '275760-09-13 00:00:00+00'],
        a: [date, -719_162, '0001-01-01'],
        e: [{ type: 'enum', name: 'E', symbols: ['X', 'Y'] }, 'Y', 'Y'],
        as: [array(['null', 'string']), ['a,b', null, '"}', '\\', 'null', ''], ''],
        ag: [array(long), [2n ** 62n, -1n], '{4611686018427387904,-1}'],
        ab: [array('boolean'), [true, false], '{t,f}'],
        ay: [array('bytes'), [Buffer.from([1, 92])], '{"\\\\x015c"}'],
        at: [array(timestamp), [1], '{"1970-01-01 00:00:00.001+00"}'],
        ae: [array('double'), [], '{}'],
        aa: [array(array('int')), [[1], [], [2, 3]], '[[1], [], [2, 3]]'],
        m: [{ type: 'map', values: long }, { 'k"': 2n ** 60n }, '{"k\\"": "1152921504606846976"}'],
        r: [{ type: 'record', name: 'N', fields: [] }, { x: [1, null] }, '{"x": [1, null]}'],
      };
    const fields = Object.entries(kinds).map(([name, [type]]) => ({
      name,
      type: Array.isArray(type) ? type : ['null', type],
    }));
    const schema = freshSchema();
    const sink = await open(schema, modelOf([{ name: 'id', type: 'string' }, ...fields], {}));
    const values = Object.fromEntries(
      Object.entries(kinds).map(([name, [, value]]) => [name, value]),
    );
    const nulls = Object.fromEntries(Object.keys(kinds).map((name) => [name, null]));
    await deliver(sink, thing({ id: 'full', ...values }), thing({ id: 'null', ...nulls }));
    await db.query(`SET TIME ZONE 'UTC'`);
    const texts = Object.keys(kinds).map((name) => `"${name}"::text`);
    const { rows } = await db.query(`SELECT ${texts} FROM ${schema}.things ORDER BY id`);
    const { as: strings, ...found } = rows[0];
    const { as: _, ...expected } = Object.fromEntries(
      Object.entries(kinds).map(([name, [, , text]]) => [name, text]),
    );
    expect(found).toEqual(expected);
    expect(strings).toContain('NULL');
    const { rows: arrays } = await db.query(`SELECT "as" FROM ${schema}.things WHERE id = 'full'`);
    expect(arrays[0]).toEqual({ as: kinds['as']?.[1] });
    expect(rows[1]).toEqual(nulls);
  });

  it('append a row once, however often it comes', async () => {
    const schema = freshSchema();
    const fields = [
      { name: 'id', type: 'string' },
      { name: 'n', type: 'int' },
    ];
    const sink = await open(schema, modelOf(fields, {}));
    await deliver(
      sink,
      thing({ id: 'a', n: 1 }),
      thing({ id: 'a', n: 2 }),
      thing({ id: 'b', n: 3 }),
    );
    await deliver(sink, thing({ id: 'a', n: 4 }), thing({ id: 'c', n: 5 }));
    const { rows } = await db.query(`SELECT id, n FROM ${schema}.things ORDER BY id`);
    expect(rows).toEqual([
      { id: 'a', n: 1 },
      { id: 'b', n: 3 },
      { id: 'c', n: 5 },
    ]);
  });

  it('keep the newest row of a key of several fields', async () => {
    const schema = freshSchema();
    const sink = await open(schema, counts);
    const count = (window: number, version: bigint, n: number) =>
      thing(
        {
          ...{ tenant_id: 'a', window_start: window, window_end: window + 60_000 },
          ...{ count: n, version },
        },
        counts.topic,
      );
    await deliver(sink, count(0, 2n, 20), count(0, 1n, 10), count(60_000, 1n, 1));
    await deliver(sink, count(0, 1n, 11), count(60_000, 5n, 50));
    const { rows } = await db.query(
      `SELECT count, version FROM ${schema}.tenant_counts ORDER BY window_start`,
    );
    expect(rows).toEqual([
      { count: '20', version: '2' },
      { count: '50', version: '5' },
    ]);
  });
});

describe('evolution of tables in use', () => {
  const next = changed(
    contacts,
    { name: 'city', type: ['null', 'string'], default: null, doc: 'Where they are.' },
    { name: 'plan', type: 'string', default: "it's free" },
    { name: 'labels', type: { type: 'array', items: 'string' }, default: ['a"b'] },
    { name: 'email', type: ['null', 'string'], default: null },
  );

  it('adds columns while an older process goes on writing, however many open at once', async () => {
    const schema = freshSchema();
    const older = await open(schema, contacts);
    await deliver(older, contactRecord('before', 1n), contactRecord('deleted', 1n));
    const newer = [create(schema, next), create(schema, next), create(schema, contacts)];
    const stop = new AbortController();
    let written = 0;
    const writing = (async () => {
      for (; !stop.signal.aborted && written < 5_000; written += 1) {
        await deliver(older, contactRecord(`old-${written}`, 1n));
      }
    })();
    await Promise.all(newer.map(openAtLast));
    stop.abort();
    await writing;
    await deliver(older, contactRecord('after', 1n), contactRecord('deleted', 2n, null));
    const record = contactRecord('new', 1n, { email: null } as never);
    const value = { ...record.value, city: 'Köln', plan: 'paid', labels: ['x'] };
    for (const sink of newer.slice(0, 1)) await deliver(sink, { ...record, value });
    const { rows } = await db.query(
      `SELECT id, city, plan, labels, email IS NULL AS bare FROM ${schema}.contacts
       WHERE id IN ('before', 'after', 'new', 'deleted') ORDER BY id`,
    );
    const preset = { city: null, plan: "it's free", labels: ['a"b'], bare: false };
    expect(rows).toEqual([
      { id: 'after', ...preset },
      { id: 'before', ...preset },
      { id: 'new', city: 'Köln', plan: 'paid', labels: ['x'], bare: true },
    ]);
    const { rows: kept } = await db.query(
      `SELECT count(*)::integer AS n FROM ${schema}.contacts WHERE id LIKE 'old-%'`,
    );
    expect(kept).toEqual([{ n: written }]);
    await older.open();
  });

  it('is what the plan says: its statements alone make the same tables', async () => {
    const [planned, opened] = [freshSchema(), freshSchema()];
    await db.query(`CREATE SCHEMA ${planned}`);
    for (const before of [undefined, contacts]) {
      const after = before === undefined ? contacts : next;
      const { statements, refused } = planPostgresEvolution(before, after, planned);
      expect(refused).toEqual([]);
      expect(statements.length).toBeGreaterThan(0);
      for (const statement of statements) await db.query(statement);
      await open(opened, after);
      const table = tableOf(after);
      expect(await find(db, planned, table)).toEqual(await find(db, opened, table));
      expect(planPostgresEvolution(after, after, planned).statements).toEqual([]);
    }
  });

  it('takes over the table of contacts that was made by hand', async () => {
    const schema = freshSchema();
    await db.query(`CREATE SCHEMA ${schema}`);
    await db.query(`CREATE TABLE ${schema}.contacts_all (id text NOT NULL PRIMARY KEY, tenant_id text, full_name text,
      email text, phone text, company_id text, company text, company_domain text, industry text, tags text[] NOT NULL,
      score real, created_at timestamptz, updated_at timestamptz, version bigint NOT NULL, deleted boolean NOT NULL,
      CONSTRAINT live_is_complete CHECK (deleted OR (tenant_id IS NOT NULL AND full_name IS NOT NULL)))`);
    await db.query(
      `CREATE VIEW ${schema}.contacts AS SELECT id, version FROM ${schema}.contacts_all WHERE NOT deleted`,
    );
    const sink = await open(schema, contacts);
    await deliver(sink, contactRecord('a', 1n), contactRecord('b', 1n, null));
    const { rows } = await db.query(`SELECT * FROM ${schema}.contacts`);
    expect(rows).toHaveLength(1);
    expect(Object.keys(rows[0]).slice(0, 2)).toEqual(['id', 'version']);
    expect(rows[0]).toMatchObject({ id: 'a', email: 'Zoe@Example.com', tags: ['new', 'vip'] });
  });
});
