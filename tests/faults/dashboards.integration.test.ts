import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { type ClickHouseClient, createClient } from '@clickhouse/client';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { charts } from '../../dashboards/charts.ts';
import { grafanaSql } from '../../dashboards/grafana.ts';
import { rawQueries } from '../../dashboards/raw.ts';
import { eventsPipeline } from '../../pipelines/events/topology.ts';
import { metricsPipeline } from '../../pipelines/metrics/topology.ts';
import { sinkGroup } from '../../runtime/delivery/sink-runner.ts';
import { ensureTopics, groupLag } from '../../runtime/kafka/admin.ts';
import { createPublisher, type OwnedPublisher } from '../../runtime/kafka/batching-publisher.ts';
import { readTopic } from '../../runtime/kafka/reader.ts';
import { planTopics } from '../../runtime/topic-plan.ts';
import {
  dlqOf,
  optionalParts,
  type TopicName,
  type TopicValue,
  topicsOf,
} from '../../schemas/topics.ts';
import { clickhouseConfigSchema } from '../../sinks/clickhouse/config.ts';
import { createClickhouseSink } from '../../sinks/clickhouse/sink.ts';
import { testStack } from '../integration/stack.ts';
import { DashboardLoad } from '../support/dashboards/load.ts';
import {
  enrichmentRates,
  errorRates,
  latencies,
  quantile,
  type Recorded,
  tenantCounts,
  velocities,
} from '../support/dashboards/recompute.ts';
import { eventually, kafkaFixture, testLogger } from '../support/kafka.ts';
import { untilProcessed } from '../support/processed.ts';
import { ReachflowProcess } from '../support/reachflow-process.ts';
import { randomFor } from '../support/trial/random.ts';

const HOUR = 3_600_000;
/** A whole hour, some hours ago. */
const START = Math.floor(Date.now() / HOUR) * HOUR - 4 * HOUR;
const PARTITIONS = 2;
/** Of quantiles, and of what doubles leave of it in text. */
const BOUND = 0.01 + 1e-6;
const DELAY_BOUND = 0.05 + 1e-6;
const database = `dashboards_${randomUUID().slice(0, 8)}`;
const clickhouseTopics = topicsOf('clickhouse', ['metrics']);

let kafka: ReturnType<typeof kafkaFixture>;
let publisher: OwnedPublisher;
let clickhouse: ClickHouseClient;
const workers: ReachflowProcess[] = [];

async function addWorker(): Promise<ReachflowProcess> {
  const { kafka: brokers, registry, clickhouse: store } = testStack();
  const env = {
    REACHFLOW_KAFKA_BROKERS: brokers.brokers.join(','),
    REACHFLOW_KAFKA_NAMESPACE: kafka.client.config.namespace,
    REACHFLOW_KAFKA_PARTITIONS: String(PARTITIONS),
    REACHFLOW_KAFKA_SESSION_TIMEOUT_MS: '6000',
    REACHFLOW_REGISTRY_URL: registry.url,
    REACHFLOW_CLICKHOUSE_URL: store.url,
    REACHFLOW_CLICKHOUSE_USERNAME: store.username,
    REACHFLOW_CLICKHOUSE_PASSWORD: store.password,
    REACHFLOW_CLICKHOUSE_DATABASE: database,
    REACHFLOW_CLICKHOUSE_FLUSH_MS: '200',
    REACHFLOW_PIPELINES_OPTIONAL: JSON.stringify(['metrics']),
  };
  const worker = new ReachflowProcess(env, ['--only', 'events,metrics,clickhouse']);
  workers.push(worker);
  await worker.ready();
  return worker;
}

async function rows<T>(query: string, query_params: Record<string, unknown> = {}): Promise<T[]> {
  const result = await clickhouse.query({ query, query_params, format: 'JSONEachRow' });
  return result.json<T>();
}

/** All that a topic has, in the order of each partition. */
async function recorded<T extends TopicName>(topic: T): Promise<Recorded<TopicValue<T>>[]> {
  const found: { partition: number; key: string; timestamp: number; value: Buffer | null }[] = [];
  await readTopic(kafka.client, {
    topic,
    onRecord: ({ key, timestamp, value }, partition) =>
      void found.push({ partition, key: String(key), timestamp, value }),
  });
  await kafka.codec.load(
    topic,
    found.flatMap(({ value }) => (value === null ? [] : [value])),
  );
  return found.map((record) => ({
    ...record,
    value: record.value === null ? null : kafka.codec.decode(topic, record.value),
  }));
}

async function lateLetters(): Promise<number> {
  let letters = 0;
  const topic = dlqOf('event.recorded', metricsPipeline.name);
  const onRecord = () => {
    letters += 1;
  };
  await readTopic(kafka.client, { topic, onRecord });
  return letters;
}

/** Rows of a table of windows, by `tenant window-start`. */
async function stored<R>(table: string, columns: string): Promise<Record<string, R>> {
  const found = await rows<{ id: string; row: R }>(
    `SELECT concat(tenant_id, ' ', toString(toUnixTimestamp64Milli(window_start))) AS id,
       CAST(tuple(${columns}), 'Tuple(${columns.replaceAll(',', ' Float64,')} Float64)') AS row
     FROM ${table} FINAL`,
  );
  return Object.fromEntries(found.map(({ id, row }) => [id, row]));
}

beforeAll(async () => {
  kafka = kafkaFixture({ partitions: PARTITIONS });
  const { url, username, password } = testStack().clickhouse;
  // With all optional parts: what their charts read is there then, empty or not.
  const config = clickhouseConfigSchema.parse({ url, username, password, database });
  const sink = createClickhouseSink(config, { logger: testLogger, parts: optionalParts });
  await sink.open();
  await sink.close();
  clickhouse = createClient({ url, username, password, database });
  const plans = planTopics([eventsPipeline, metricsPipeline], [], PARTITIONS);
  await ensureTopics(kafka.client, plans);
  publisher = await createPublisher(kafka.client, kafka.codec);
  const load = new DashboardLoad(publisher, randomFor('dashboards'), START);
  await load.publish(500, 0, 0.5);
  const killed = await addWorker();
  await load.publish(250, 0.5, 0.75);
  await sleep(500);
  await killed.end('SIGKILL');
  await addWorker();
  await load.publish(250, 0.75, 1);
  await untilProcessed(kafka.client, eventsPipeline);
  await untilProcessed(kafka.client, metricsPipeline);
  await eventually('all written', async () => {
    const lags = await Promise.all(
      clickhouseTopics.map((topic) => groupLag(kafka.client, sinkGroup('clickhouse'), topic)),
    );
    return lags.every((lag) => lag === 0);
  });
}, 240_000);

afterAll(async () => {
  for (const worker of workers) await worker.end('SIGKILL');
  await publisher?.close();
  await clickhouse?.command({ query: `DROP DATABASE IF EXISTS ${database} SYNC` });
  await clickhouse?.close();
});

describe('after duplicates, late and disordered records, and a kill', () => {
  it('rates of errors, counts of tenants, enrichments and velocity equal a recomputation from the topics', async () => {
    const errors = errorRates(await recorded('webhook.received'));
    expect(Object.keys(errors).length).toBeGreaterThan(50);
    expect(await stored('error_rate', 'total, errors')).toEqual(errors);
    const counts = tenantCounts(await recorded('event.recorded'));
    expect(await stored('tenant_counts', 'count')).toEqual(counts);
    const velocity = velocities(await recorded('contact.golden'));
    expect(Object.values(velocity).some(({ deleted }) => deleted > 0)).toBe(true);
    expect(await stored('contact_velocity', 'created, updated, deleted')).toEqual(velocity);
    const enriched = enrichmentRates(await recorded('enrichment.completed'));
    expect(await stored('enrichment_rate', 'total, found, cached')).toEqual(enriched);
  });

  it('latencies have each call once, and percentiles within 1 % of the exact ones', async () => {
    const { rows: exact, late } = latencies(await recorded('event.recorded'));
    const found = await stored<{ count: number; p50: number; p95: number; p99: number }>(
      'api_latency',
      'count, p50, p95, p99',
    );
    expect(Object.keys(found).sort()).toEqual(Object.keys(exact).sort());
    for (const [id, durations] of Object.entries(exact)) {
      const { count = 0, ...percentiles } = found[id] ?? {};
      expect(count).toBe(durations.length);
      for (const [name, value] of Object.entries(percentiles)) {
        const wanted = quantile(durations, Number(name.slice(1)) / 100);
        expect(Math.abs(value - wanted)).toBeLessThanOrEqual(wanted * BOUND);
      }
    }
    expect(late).toBeGreaterThan(0);
    expect(await lateLetters()).toBe(late);
  });

  it('charts equal the same questions asked of the events', async () => {
    const range = { from: new Date(START - HOUR), to: new Date(START + 3 * HOUR) };
    for (const chart of charts) {
      const raw = rawQueries[chart.id];
      if (raw === undefined) continue;
      for (const tenant of ['', 'acme']) {
        const params = { ...range, tenant, step: 600 };
        const drawn = await rows<Record<string, unknown>>(chart.sql, params);
        const exact = await rows<Record<string, unknown>>(raw, params);
        expect(drawn.length, chart.id).toBeGreaterThan(0);
        if (chart.unit !== 'ms') {
          expect(drawn.map(comparable), chart.id).toEqual(exact.map(comparable));
          continue;
        }
        expect(drawn.length).toBe(exact.length);
        for (const [i, { time, series, value }] of drawn.entries()) {
          expect([time, series]).toEqual([exact[i]?.['time'], exact[i]?.['series']]);
          const wanted = Number(exact[i]?.['value']);
          const bound = chart.id === 'arrival-delay' ? DELAY_BOUND : BOUND;
          expect(Math.abs(Number(value) - wanted), chart.id).toBeLessThanOrEqual(wanted * bound);
        }
      }
    }
  });

  it('every chart is answered, with the columns of its kind', async () => {
    const columns = {
      lines: ['time', 'series', 'value'],
      bars: ['label', 'value'],
      funnel: ['label', 'value'],
      number: ['value'],
    };
    const range = { from: new Date(START - HOUR), to: new Date(START + 3 * HOUR) };
    for (const { id, sql, kind } of charts) {
      const query_params = { ...range, tenant: 'acme', step: 60 };
      const result = await clickhouse.query({ query: sql, query_params, format: 'JSON' });
      const { meta = [] } = await result.json();
      const names = meta.map(({ name }) => name);
      if (kind === 'table') expect(names.length, id).toBeGreaterThan(1);
      else expect(names, id).toEqual(columns[kind]);
    }
  });

  it('every panel of Grafana is answered as its chart is, with its variables filled in', async () => {
    const [from, to] = [START - HOUR, START + 3 * HOUR];
    for (const chart of charts) {
      const query_params = { from: new Date(from), to: new Date(to), tenant: 'acme', step: 120 };
      const sql = grafanaSql(chart)
        .replaceAll(`\${tenant:singlequote}`, "'acme'")
        .replaceAll('$__from', String(from))
        .replaceAll('$__to', String(to))
        .replaceAll('$__interval_ms', '120000');
      expect(sql, chart.id).not.toContain('$');
      expect(await rows(sql), chart.id).toEqual(await rows(chart.sql, query_params));
    }
  });
});

/** Times as seconds apart from how they are written. */
function comparable(row: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const short = (value: unknown) =>
    typeof value === 'string' ? value.replace(/\.000$/, '') : value;
  return Object.fromEntries(Object.entries(row).map(([name, value]) => [name, short(value)]));
}
