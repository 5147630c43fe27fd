import { randomBytes } from 'node:crypto';
import { createClient } from '@clickhouse/client';
import pg from 'pg';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { modelToPublish } from '../../pipelines/scoring/model/scoring-model.ts';
import { leadModel } from '../../pipelines/scoring/testing/models.ts';
import { scoringPipeline } from '../../pipelines/scoring/topology.ts';
import { contact, event } from '../../runtime/testing/samples.ts';
import { sinkConfigSections, sinks } from '../../sinks/registry.ts';
import { type InProcess, inProcess } from '../support/in-process.ts';
import { eventually, testLogger } from '../support/kafka.ts';
import { testStack } from './stack.ts';

const TIMEOUT = 300_000;
const namespace = `t${randomBytes(4).toString('hex')}`;
const { postgres, clickhouse } = testStack();
const store = new pg.Client({ connectionString: postgres.url });
const warehouse = createClient({
  url: clickhouse.url,
  username: clickhouse.username,
  password: clickhouse.password,
});
let product: InProcess;

beforeAll(async () => {
  const config = {
    postgres: sinkConfigSections.postgres.parse({ ...postgres, schema: namespace }),
    clickhouse: sinkConfigSections.clickhouse.parse({ ...clickhouse, database: namespace }),
    elasticsearch: sinkConfigSections.elasticsearch.parse({}),
    alerts: sinkConfigSections.alerts.parse({}),
  };
  const stores = sinks
    .filter(({ name }) => name !== 'elasticsearch')
    .map(({ createSink }) => createSink(config, { logger: testLogger, parts: ['scoring'] }));
  product = await inProcess(scoringPipeline, { namespace, partitions: 2, sinks: stores });
  await product.engine.prepare();
  await product.engine.start();
  await store.connect();
}, TIMEOUT);

afterAll(async () => {
  await product?.close();
  await store.query(`DROP SCHEMA IF EXISTS "${namespace}" CASCADE`);
  await store.end();
  await warehouse.command({ query: `DROP DATABASE IF EXISTS ${namespace}` });
  await warehouse.close();
}, TIMEOUT);

interface Row {
  readonly contact_id: string;
  readonly score: number;
  readonly login_count: string | number;
}

async function inPostgres(): Promise<Row[]> {
  const { rows } = await store.query<Row>(
    `SELECT contact_id, score, login_count FROM "${namespace}".contact_scores ORDER BY contact_id`,
  );
  return rows;
}

async function inClickhouse(): Promise<Row[]> {
  const result = await warehouse.query({
    query: `SELECT contact_id, score, login_count FROM ${namespace}.contact_scores FINAL
            WHERE is_deleted = 0 ORDER BY contact_id`,
    format: 'JSONEachRow',
  });
  return result.json<Row>();
}

it('the newest score of each contact is in the stores, and none of one that was deleted', {
  timeout: TIMEOUT,
}, async () => {
  const { publisher } = product;
  const at = Date.now() - 60_000;
  const model = modelToPublish('lead', leadModel, at);
  await publisher.publish('scoring.model', { key: 'lead', value: model });
  for (const id of ['1', '2', '3'])
    await publisher.publish('contact.golden', { key: id, value: contact({ id }) });
  for (const [n, id] of ['1', '1', '3'].entries()) {
    const value = event({
      event_id: String(n),
      entity_id: id,
      event_type: 'user.login',
      occurred_at: at,
    });
    await publisher.publish('event.recorded', { key: `t:${id}`, value });
  }
  const isHere = (rows: readonly Row[], logins: readonly number[]) =>
    rows.map(({ login_count }) => Number(login_count)).join() === logins.join();
  for (const read of [inPostgres, inClickhouse])
    await eventually('three scores', async () => isHere(await read(), [2, 0, 1]), 120_000);
  const headers = { 'reachflow.version': '9' };
  await publisher.publishRaw({ topic: 'contact.golden', key: '3', value: null, headers });
  for (const read of [inPostgres, inClickhouse])
    await eventually('two scores', async () => isHere(await read(), [2, 0]), 120_000);
  const [a, b] = [await inPostgres(), await inClickhouse()];
  expect(a.map(({ score }) => score)).toEqual(b.map(({ score }) => score));
  expect(a.every(({ score }) => score > 0 && score < 1)).toBe(true);
  expect(product.fatal).toEqual([]);
});
