import { randomUUID } from 'node:crypto';
import pg from 'pg';
import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { errorMessage } from '../../runtime/errors.ts';
import type { Contact } from '../../schemas/types.ts';
import { testStack } from '../../tests/integration/stack.ts';
import { startProxyTo, throughProxy } from '../../tests/support/tcp-proxy.ts';
import { describeSinkConformance, type SinkHarness, settle } from '../conformance.ts';
import { batchOf, contactRecord } from '../fixtures.ts';
import { postgresConfigSchema } from './config.ts';
import { createPostgresSink } from './sink.ts';

const deps = { logger: pino({ level: 'silent' }) };

function uniqueSchema(): string {
  return `sink_test_${randomUUID().slice(0, 8)}`;
}

interface StoredContact extends Omit<Contact, 'created_at' | 'updated_at' | 'version'> {
  readonly created_at: Date;
  readonly updated_at: Date;
  readonly version: string;
}

async function startHarness(): Promise<SinkHarness> {
  const { url } = testStack().postgres;
  const schema = uniqueSchema();
  const proxy = await startProxyTo(url, 5432);
  const reader = new pg.Client({ connectionString: url });
  await reader.connect();
  const config = postgresConfigSchema.parse({
    url: throughProxy(url, proxy),
    schema,
    connectTimeoutMs: 1_000,
    statementTimeoutMs: 2_000,
  });
  return {
    create: () => createPostgresSink(config, deps),
    async read(id) {
      // A key that Postgres text cannot hold is not there.
      if (id.includes('\0')) return null;
      const { rows } = await reader.query<StoredContact>(
        `SELECT * FROM ${schema}.contacts WHERE id = $1`,
        [id],
      );
      const row = rows[0];
      if (row === undefined) return null;
      return {
        ...row,
        created_at: row.created_at.getTime(),
        updated_at: row.updated_at.getTime(),
        version: BigInt(row.version),
      };
    },
    async dump() {
      const { rows } = await reader.query(`SELECT * FROM ${schema}.contacts_all ORDER BY id`);
      return rows;
    },
    outage: proxy,
    poison: [
      {
        name: 'a NUL character',
        fields: { email: 'a\0b' },
        code: 'INVALID_RECORD',
        names: /email/,
      },
      {
        name: 'a score beyond real',
        fields: { score: 1e300 },
        code: 'INVALID_RECORD',
        names: /score .* out of range for real/,
      },
      {
        name: 'a date before timestamptz',
        fields: { created_at: -300_000_000_000_000 },
        code: 'POSTGRES_REJECTED',
        names: /timestamp.*22008/,
      },
    ],
    async destroy() {
      await reader.query(`DROP SCHEMA IF EXISTS ${schema} CASCADE`);
      await reader.end();
      await proxy.close();
    },
  };
}

describeSinkConformance('postgres', startHarness);

describe('postgres sink', () => {
  const schema = uniqueSchema();
  let client: pg.Client;
  const create = (fields: Readonly<Record<string, unknown>> = {}) =>
    createPostgresSink(
      postgresConfigSchema.parse({ url: testStack().postgres.url, schema, ...fields }),
      deps,
    );

  beforeAll(async () => {
    client = new pg.Client({ connectionString: testStack().postgres.url });
    await client.connect();
  });

  afterAll(async () => {
    await client.query(`DROP SCHEMA IF EXISTS ${schema} CASCADE`);
    await client.end();
  });

  async function openError(sink: ReturnType<typeof create>): Promise<unknown> {
    try {
      return await sink.open().then(
        () => undefined,
        (error: unknown) => error,
      );
    } finally {
      await sink.close();
    }
  }

  it('refuses to start on a database that is not there', async () => {
    const url = new URL(testStack().postgres.url);
    url.pathname = `/nowhere_${randomUUID().slice(0, 8)}`;
    expect(await openError(create({ url: url.href }))).toMatchObject({
      code: 'POSTGRES_SETTINGS',
      retry: 'none',
    });
  });

  it('refuses a table that additions do not mend, and names each column', async () => {
    const sink = create();
    await sink.open();
    await sink.close();
    const table = `${schema}.contacts_all`;
    await client.query(`DROP VIEW ${schema}.contacts`);
    await client.query(`ALTER TABLE ${table} DROP COLUMN industry, DROP COLUMN email`);
    await client.query(`ALTER TABLE ${table} ALTER COLUMN phone TYPE varchar(9)`);
    await client.query(`ALTER TABLE ${table} ADD COLUMN owner text NOT NULL`);
    const error = await openError(create());
    expect(error).toMatchObject({ code: 'POSTGRES_TABLE_MISMATCH', retry: 'none' });
    const message = errorMessage(error);
    expect(message).toMatch(/column email is missing/);
    expect(message).toMatch(/column phone is character varying\(9\), not text/);
    expect(message).toMatch(/column owner is not in the schema/);
    expect(message).not.toMatch(/industry/);
    await client.query(`DROP SCHEMA ${schema} CASCADE`);
  });

  it('answers retry, not rejected, when the table is gone or the statement is too slow', async () => {
    const sink = create({ statementTimeoutMs: 300 });
    await sink.open();
    const records = [contactRecord('slow', 1n), contactRecord('slow-2', 1n)];

    await client.query('BEGIN');
    await client.query(`LOCK TABLE ${schema}.contacts_all`);
    const blocked = await sink.write(batchOf(records));
    await client.query('COMMIT');
    expect(blocked.map((result) => result.status)).toEqual(['retry', 'retry']);
    expect(blocked[0]).toMatchObject({ error: { code: 'POSTGRES_REFUSED' } });

    await client.query(`ALTER TABLE ${schema}.contacts_all RENAME TO elsewhere`);
    const missing = await sink.write(batchOf(records));
    await client.query(`ALTER TABLE ${schema}.elsewhere RENAME TO contacts_all`);
    expect(missing.map((result) => result.status)).toEqual(['retry', 'retry']);

    const found = await sink.write(batchOf(records));
    expect(found.map((result) => result.status)).toEqual(['delivered', 'delivered']);
    await sink.close();
  });

  it('rejects alone a key that the index cannot hold', async () => {
    const sink = create();
    await sink.open();
    // Random, or compression would make it fit.
    const long = Array.from({ length: 200 }, () => randomUUID()).join('');
    const batch = [contactRecord('k-1', 1n), contactRecord(long, 1n), contactRecord('k-2', 1n)];
    const results = await settle(sink, batch);
    expect(results.map((result) => result.status)).toEqual(['delivered', 'rejected', 'delivered']);
    expect(results[1]).toMatchObject({ error: { code: 'POSTGRES_REJECTED' } });
    await sink.close();
  });
});
