import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { RecordResult, Sink, SinkBatch, SinkRecord } from '../../runtime/delivery/sink.ts';
import { errorCode } from '../../runtime/errors.ts';
import { testStack } from '../../tests/integration/stack.ts';
import { startProxyTo, type TcpProxy, throughProxy } from '../../tests/support/tcp-proxy.ts';
import { contactRecord } from '../fixtures.ts';
import { postgresConfigSchema } from './config.ts';
import { createPostgresSink } from './sink.ts';

const deps = { logger: pino({ level: 'silent' }) };
const TOPIC = 'contact.golden';
const schema = `sink_test_${randomUUID().slice(0, 8)}`;

let db: pg.Client;
let proxy: TcpProxy;
let partition = 0;
const sinks: Sink[] = [];

beforeAll(async () => {
  const { url } = testStack().postgres;
  proxy = await startProxyTo(url, 5432);
  db = new pg.Client({ connectionString: url });
  await db.connect();
});

afterAll(async () => {
  await Promise.all(sinks.map((sink) => sink.close()));
  await db.query(`DROP SCHEMA IF EXISTS ${schema} CASCADE`);
  await db.end();
  await proxy.close();
});

/** An open sink that goes through the proxy: another process. */
async function open(fields: Readonly<Record<string, unknown>> = {}): Promise<Sink> {
  const config = postgresConfigSchema.parse({
    url: throughProxy(testStack().postgres.url, proxy),
    ...{ schema, connectTimeoutMs: 1_000, statementTimeoutMs: 2_000, ...fields },
  });
  const sink = createPostgresSink(config, deps);
  sinks.push(sink);
  await sink.open();
  return sink;
}

async function claim(sink: Sink, at: number) {
  const claimed = await sink.claim?.(TOPIC, at);
  if (claimed === undefined) throw new Error('the sink keeps no positions');
  return claimed;
}

/** Contacts of their own per offset, as a batch that goes from `start` on. */
function batch(
  at: number,
  epoch: bigint,
  start: number,
  size: number,
  fields: (offset: number) => Parameters<typeof contactRecord>[2] = () => ({}),
): SinkBatch {
  const records = Array.from({ length: size }, (_, i): SinkRecord => {
    const record = contactRecord(`p${at}-${start + i}`, 1n, fields(start + i));
    return { ...record, partition: at, offset: BigInt(start + i) };
  });
  const range = { epoch, start: BigInt(start), end: BigInt(start + size), origin: '' };
  return { topic: TOPIC, partition: at, range, records };
}

const statusesOf = (results: readonly RecordResult[]) => results.map(({ status }) => status);

async function codeOf(work: Promise<unknown>): Promise<string | undefined> {
  return work.then(
    () => undefined,
    (error: unknown) => errorCode(error) ?? String(error),
  );
}

/** What the store has of a partition: contacts, and the next offset. */
async function stored(at: number): Promise<{ count: number; position: string | null }> {
  const { rows: counted } = await db.query<{ count: number }>(
    `SELECT count(*)::integer AS count FROM ${schema}.contacts WHERE id LIKE $1`,
    [`p${at}-%`],
  );
  const { rows: found } = await db.query<{ next_offset: string | null }>(
    `SELECT next_offset FROM ${schema}.reachflow_positions WHERE topic = $1 AND partition = $2`,
    [TOPIC, at],
  );
  return { count: counted[0]?.count ?? 0, position: found[0]?.next_offset ?? null };
}

/** As the runner does: writes again while the store is sick, claims when fenced, until the position is `end`. */
async function finish(sink: Sink, at: number, size: number, end: number): Promise<void> {
  for (let attempt = 0; attempt < 2_000; attempt += 1) {
    try {
      const { epoch, position } = await claim(sink, at);
      const start = Number(position ?? 0n);
      if (start >= end) return;
      await sink.write(batch(at, epoch, start, Math.min(size, end - start)));
    } catch (error) {
      expect(['POSTGRES_UNAVAILABLE', 'POSTGRES_REFUSED', 'SINK_FENCED']).toContain(
        errorCode(error),
      );
    }
    await sleep(20);
  }
  expect.fail(`partition ${at} did not get to ${end}`);
}

describe('rows and position in one transaction', () => {
  it('starts without a position, and moves it with the rows, with none of them, and in parts', async () => {
    const sink = await open({ batchSize: 100 });
    const at = partition++;
    const { epoch, position } = await claim(sink, at);
    expect(position).toBeUndefined();
    expect(statusesOf(await sink.write(batch(at, epoch, 40, 10)))).not.toContain('retry');
    expect(await stored(at)).toEqual({ count: 10, position: '50' });
    expect(await sink.write(batch(at, epoch, 50, 0))).toEqual([]);
    const empty = { ...batch(at, epoch, 50, 5), records: [] };
    expect(await sink.write(empty)).toEqual([]);
    expect(await stored(at)).toEqual({ count: 10, position: '55' });
    await sink.write(batch(at, epoch, 55, 350));
    expect(await stored(at)).toEqual({ count: 360, position: '405' });
    expect((await claim(sink, at)).position).toBe(405n);
  });

  it('keeps of which topic a position is, once there is one', async () => {
    const sink = await open();
    const at = partition++;
    const claimed = async (id?: string) => (await sink.claim?.(TOPIC, at, id))?.topicId;
    expect(await claimed('first')).toBe('first');
    expect(await claimed('second')).toBe('second');
    const { epoch } = await claim(sink, at);
    expect(statusesOf(await sink.write(batch(at, epoch, 0, 1)))).toEqual(['delivered']);
    expect(await claimed('third')).toBe('third');
    expect(await claimed('fourth')).toBe('third');
    expect(await claimed()).toBe('third');
  });

  it('refuses a range that does not go on from the position, whole', async () => {
    const sink = await open({ batchSize: 100 });
    const at = partition++;
    const { epoch } = await claim(sink, at);
    await sink.write(batch(at, epoch, 0, 10));
    for (const [start, size] of [
      [0, 10],
      [5, 10],
      [20, 10],
      [20, 250],
      [20, 0],
    ] as const) {
      expect(await codeOf(sink.write(batch(at, epoch, start, size)))).toBe('SINK_FENCED');
    }
    expect(await stored(at)).toEqual({ count: 10, position: '10' });
  });

  it('divides a batch larger than a statement may be, and still writes all of it or nothing', async () => {
    const sink = await open({ statementTimeoutMs: 30_000 });
    const at = partition++;
    const { epoch } = await claim(sink, at);
    const large = 'lorem ipsum '.repeat(55_000);
    const whole = batch(at, epoch, 0, 28, (offset) =>
      offset === 27 ? { created_at: -300_000_000_000_000 } : { full_name: large },
    );
    const results = await sink.write(whole);
    expect(statusesOf(results)).toEqual([...Array.from({ length: 27 }, () => 'held'), 'rejected']);
    expect(await stored(at)).toEqual({ count: 0, position: null });
    await sink.write({ ...whole, records: whole.records.slice(0, -1) });
    expect(await stored(at)).toEqual({ count: 27, position: '28' });
    const { rows } = await db.query(
      `SELECT DISTINCT length(full_name) AS length FROM ${schema}.contacts WHERE id LIKE $1`,
      [`p${at}-%`],
    );
    expect(rows).toEqual([{ length: large.length }]);
  });

  it('fences the owner before: its late write leaves nothing', async () => {
    const [zombie, heir] = [await open(), await open()];
    const at = partition++;
    const old = await claim(zombie, at);
    await zombie.write(batch(at, old.epoch, 0, 10));
    const next = await claim(heir, at);
    expect(next.epoch).toBeGreaterThan(old.epoch);
    expect(next.position).toBe(10n);
    expect(await codeOf(zombie.write(batch(at, old.epoch, 10, 10)))).toBe('SINK_FENCED');
    expect(await stored(at)).toEqual({ count: 10, position: '10' });
    await heir.write(batch(at, next.epoch, 10, 10));
    expect(await stored(at)).toEqual({ count: 20, position: '20' });
  });

  it('lets one of two racing owners win each range, and loses and doubles none', async () => {
    const rivals = [await open(), await open()];
    const at = partition++;
    await Promise.all(rivals.map((rival) => finish(rival, at, 7, 210)));
    expect(await stored(at)).toEqual({ count: 210, position: '210' });
  });

  it('writes nothing of a batch of 1,000 with poison, and names all of it', async () => {
    const sink = await open();
    const at = partition++;
    const { epoch } = await claim(sink, at);
    const bad = new Set([3, 617, 618, 999]);
    const whole = batch(at, epoch, 0, 1_000, (offset) =>
      bad.has(offset) ? { created_at: -300_000_000_000_000 } : {},
    );
    const results = await sink.write(whole);
    const rejected = results.flatMap(({ status }, i) => (status === 'rejected' ? [i] : []));
    expect(rejected).toEqual([...bad]);
    expect(statusesOf(results).filter((status) => status === 'held')).toHaveLength(996);
    expect(await stored(at)).toEqual({ count: 0, position: null });
    const rest = whole.records.filter((_, i) => !bad.has(i));
    expect(new Set(statusesOf(await sink.write({ ...whole, records: rest })))).toEqual(
      new Set(['delivered']),
    );
    expect(await stored(at)).toEqual({ count: 996, position: '1000' });
  });

  it('answers retry of the record when the row that it refers to is missing, and takes it later', async () => {
    const sink = await open();
    const at = partition++;
    const { epoch } = await claim(sink, at);
    await db.query(`CREATE TABLE ${schema}.companies (name text PRIMARY KEY)`);
    await db.query(`INSERT INTO ${schema}.companies VALUES ('there')`);
    const constraint = `ALTER TABLE ${schema}.contacts_all ADD CONSTRAINT of_company
      FOREIGN KEY (company) REFERENCES ${schema}.companies (name) DEFERRABLE INITIALLY DEFERRED NOT VALID`;
    await db.query(constraint);
    try {
      const whole = batch(at, epoch, 0, 20, (offset) => ({
        company: offset === 4 ? 'missing' : 'there',
      }));
      const results = await sink.write(whole);
      expect(results[4]).toMatchObject({
        ...{ status: 'retry', of: 'record' },
        error: { code: 'POSTGRES_CONFLICT', retry: 'backoff' },
      });
      expect(statusesOf(results).filter((status) => status === 'held')).toHaveLength(19);
      const rest = whole.records.filter((_, i) => i !== 4);
      await sink.write({ ...whole, records: rest });
      await db.query(`INSERT INTO ${schema}.companies VALUES ('missing')`);
      const late = { ...whole, range: undefined, records: whole.records.slice(4, 5) };
      expect(statusesOf(await sink.write(late))).toEqual(['delivered']);
      expect(await stored(at)).toEqual({ count: 20, position: '20' });
    } finally {
      await db.query(`ALTER TABLE ${schema}.contacts_all DROP CONSTRAINT of_company`);
    }
  });
});

describe('a connection that breaks', () => {
  it('between write and acknowledgement: the position tells whether it was committed', async () => {
    const sink = await open({ statementTimeoutMs: 30_000 });
    const at = partition++;
    const first = await claim(sink, at);
    await sink.write(batch(at, first.epoch, 0, 50));
    // The server waits for this lock, and commits once the client's connection is gone already.
    await db.query('BEGIN');
    await db.query(`LOCK TABLE ${schema}.contacts_all IN SHARE MODE`);
    const cut = sink.write(batch(at, first.epoch, 50, 50));
    await waitingForLock();
    await proxy.cut();
    await db.query('COMMIT');
    expect(new Set(statusesOf(await cut))).toEqual(new Set(['retry']));
    await proxy.restore();
    await finish(sink, at, 50, 150);
    expect(await stored(at)).toEqual({ count: 150, position: '150' });
  });

  it('again and again under load: nothing is missing, nothing is there twice', async () => {
    const events = `${schema}.history`;
    await db.query(`CREATE TABLE ${events} (id text, version bigint)`);
    // Counts what the table really takes: a batch written twice would show.
    await db.query(`CREATE FUNCTION ${schema}.note() RETURNS trigger LANGUAGE plpgsql AS
      $$ BEGIN INSERT INTO ${events} VALUES (NEW.id, NEW.version); RETURN NULL; END $$`);
    await db.query(`CREATE TRIGGER noted AFTER INSERT OR UPDATE ON ${schema}.contacts_all
      FOR EACH ROW EXECUTE FUNCTION ${schema}.note()`);
    const sink = await open();
    const at = partition++;
    const done = finish(sink, at, 40, 2_000);
    for (let i = 0; i < 8; i += 1) {
      await sleep(25);
      await proxy.cut();
      await proxy.restore();
    }
    await done;
    await db.query(`DROP TRIGGER noted ON ${schema}.contacts_all`);
    expect(await stored(at)).toEqual({ count: 2_000, position: '2000' });
    const { rows } = await db.query(
      `SELECT count(*)::integer AS written, count(DISTINCT id)::integer AS ids FROM ${events}`,
    );
    expect(rows).toEqual([{ written: 2_000, ids: 2_000 }]);
  });

  it('in the middle of a transaction of several statements: the server undoes it', async () => {
    const sink = await open({ batchSize: 100, statementTimeoutMs: 30_000 });
    const at = partition++;
    const { epoch } = await claim(sink, at);
    await db.query('BEGIN');
    await db.query(`LOCK TABLE ${schema}.contacts_all IN SHARE MODE`);
    const cut = sink.write(batch(at, epoch, 0, 500));
    await waitingForLock();
    await proxy.cut();
    await db.query('COMMIT');
    expect(new Set(statusesOf(await cut))).toEqual(new Set(['retry']));
    await proxy.restore();
    await finish(sink, at, 500, 500);
    expect(await stored(at)).toEqual({ count: 500, position: '500' });
  });

  it('and freezes: the write ends with retry, a claim with back-off, and all goes on after', async () => {
    const sink = await open({ statementTimeoutMs: 500, connectTimeoutMs: 500 });
    const at = partition++;
    const { epoch } = await claim(sink, at);
    await sink.write(batch(at, epoch, 0, 10));
    proxy.freeze();
    try {
      const results = await sink.write(batch(at, epoch, 10, 10));
      expect(results[0]).toMatchObject({ status: 'retry', of: 'store' });
      const error = await claim(sink, at).catch((thrown: unknown) => thrown);
      expect(error).toMatchObject({ domain: 'external', retry: 'backoff' });
    } finally {
      proxy.thaw();
    }
    await finish(sink, at, 10, 30);
    expect(await stored(at)).toEqual({ count: 30, position: '30' });
  });

  /** Until a statement of a sink waits for a lock. */
  async function waitingForLock(): Promise<void> {
    for (let attempt = 0; attempt < 2_000; attempt += 1) {
      // Within a transaction, what others do is looked up once only.
      await db.query('SELECT pg_stat_clear_snapshot()');
      const { rows } = await db.query(
        `SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE $1`,
        [`%${schema}%`],
      );
      if (rows.length > 0) return;
      await sleep(10);
    }
    expect.fail('no statement waits for the lock');
  }
});
