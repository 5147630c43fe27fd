import { randomUUID } from 'node:crypto';
import { type ClickHouseClient, ClickHouseLogLevel, createClient } from '@clickhouse/client';
import { afterEach, describe, expect, it } from 'vitest';
import { deliveryConfigSchema } from '../../runtime/delivery/config.ts';
import { runRedrive } from '../../runtime/delivery/redrive.ts';
import { planRedrive, type SelectLetters } from '../../runtime/delivery/redrive-plan.ts';
import { Resolutions } from '../../runtime/delivery/resolutions.ts';
import type { Sink, SinkBatch } from '../../runtime/delivery/sink.ts';
import { SinkRunner, sinkGroup } from '../../runtime/delivery/sink-runner.ts';
import { ensureTopics, groupLag } from '../../runtime/kafka/admin.ts';
import { createPublisher } from '../../runtime/kafka/batching-publisher.ts';
import { planTopics } from '../../runtime/topic-plan.ts';
import { dlqOf, retryOf } from '../../schemas/topics.ts';
import { clickhouseConfigSchema } from '../../sinks/clickhouse/config.ts';
import { createClickhouseSink } from '../../sinks/clickhouse/sink.ts';
import { testStack } from '../integration/stack.ts';
import { eventually, kafkaFixture, testLogger } from '../support/kafka.ts';

const TOPIC = 'event.recorded';
const POISON = 24;
const config = deliveryConfigSchema.parse({ retryInitialMs: 20, retryMaxMs: 200, maxWaitMs: 50 });
const everything: SelectLetters = (letters) => Promise.resolve(letters);

function event(i: number, source: string) {
  const at = Date.UTC(2026, i % 3, 1) + i;
  return {
    event_id: `github:${i}`,
    tenant_id: `tenant-${i % 3}`,
    source,
    event_type: 'push',
    entity_id: `repo-${i}`,
    occurred_at: at,
    received_at: at,
    payload: '{}',
  };
}

/** Where a process is killed: in its insert number `insert` of redriven records (1…). */
interface Kill {
  readonly insert: number;
  readonly when: 'before' | 'after';
  /** Records that this process writes together. */
  readonly records: number;
}

/** A sink whose process stands still, and goes on only when it has long been replaced. */
function dying(inner: Sink, { insert, when, records }: Kill) {
  const stands = Promise.withResolvers<void>();
  const goesOn = Promise.withResolvers<void>();
  const isOver = Promise.withResolvers<void>();
  let inserts = 0;
  const sink: Sink = {
    name: inner.name,
    mode: inner.mode,
    topics: inner.topics,
    limits: { ...inner.limits, records, lingerMs: 0 },
    writers: inner.writers,
    open: () => inner.open(),
    close: async () => undefined,
    async write(batch: SinkBatch) {
      if (batch.range === undefined) inserts += 1;
      if (batch.range !== undefined || inserts < insert) return inner.write(batch);
      const done = when === 'after' ? await inner.write(batch) : undefined;
      stands.resolve();
      await goesOn.promise;
      const results = done ?? (await inner.write(batch));
      isOver.resolve();
      return results;
    },
  };
  return { sink, stands: stands.promise, goOn: goesOn.resolve, isOver: isOver.promise };
}

describe('letters that are sent back to ClickHouse', () => {
  const cleanups: (() => Promise<unknown>)[] = [];
  afterEach(async () => {
    for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
  });

  async function setUp() {
    const { client, codec } = kafkaFixture();
    const database = client.config.namespace;
    const { url, username, password } = testStack().clickhouse;
    const server = { url, username, password };
    const reader: ClickHouseClient = createClient({
      ...server,
      log: { level: ClickHouseLogLevel.OFF },
      clickhouse_settings: { output_format_json_quote_64bit_integers: 0 },
    });
    cleanups.push(() => reader.close());
    const run = (query: string) => reader.command({ query });
    const create = () => {
      const sink = createClickhouseSink(clickhouseConfigSchema.parse({ ...server, database }), {
        logger: testLogger,
      });
      cleanups.push(() => sink.close());
      return sink;
    };
    const owner = create();
    await owner.open();
    cleanups.push(() => run(`DROP DATABASE ${database} SYNC`));
    await run(
      `CREATE TABLE ${database}.rollup (tenant_id String, n UInt64, sum UInt64)
       ENGINE = SummingMergeTree ORDER BY tenant_id
       SETTINGS non_replicated_deduplication_window = 100000`,
    );
    await run(
      `CREATE MATERIALIZED VIEW ${database}.rollup_view TO ${database}.rollup AS
       SELECT tenant_id, count() AS n, sum(_offset) AS sum FROM ${database}.events GROUP BY tenant_id`,
    );
    await ensureTopics(client, planTopics([], [owner], 1));
    const publisher = await createPublisher(client, codec);
    cleanups.push(() => publisher.close());
    const start = async (sink: Sink) => {
      const options = { sink, config, client, codec, publisher, logger: testLogger };
      const onFatal = (error: Error) => expect.fail(error.message);
      const runner = new SinkRunner({ ...options, onFatal });
      await runner.start();
      cleanups.push(() => runner.stop());
      return runner;
    };
    /** What is in the table without FINAL, and what the view has made of it. */
    const counted = async () => {
      const query = `SELECT
        (SELECT count() FROM ${database}.events) AS stored,
        (SELECT sum(n) FROM ${database}.rollup) AS n,
        (SELECT sum(sum) FROM ${database}.rollup) AS sum`;
      const answer = await reader.query({ query, format: 'JSONEachRow' });
      const [row] = await answer.json<{ stored: number; n: number; sum: number }>();
      return row;
    };
    return { client, database, publisher, run, create, start, counted };
  }

  it('count once in a view, wherever a process is killed, however the next one groups them, and when it wakes up', async () => {
    const { client, database, publisher, run, create, start, counted } = await setUp();
    await run(`ALTER TABLE ${database}.events ADD CONSTRAINT healthy CHECK source != 'poison'`);
    const first = await start(create());
    for (let i = 0; i < 2 * POISON; i += 1) {
      const value = event(i, i % 2 === 0 ? 'poison' : 'github');
      await publisher.publish(TOPIC, { key: value.entity_id, value });
    }
    await eventually('dead letters', () => first.counts.deadLettered === POISON);
    await first.stop();
    await run(`ALTER TABLE ${database}.events DROP CONSTRAINT healthy`);
    const plan = await planRedrive(client, await Resolutions.read(client), {
      ...{ dlqs: [dlqOf(TOPIC, 'clickhouse')], select: everything, maxReplays: 3, sends: true },
    });
    const audit = { run: randomUUID(), actor: 'test', selection: {}, force: false } as const;
    const resolution = 'redriven' as const;
    const sent = await runRedrive(client, {
      ...{ plan, select: everything, maxReplays: 3, audit: { ...audit, resolution } },
    });
    expect(sent.letters).toBe(POISON);

    const kills: readonly Kill[] = [
      { insert: 2, when: 'after', records: 5 },
      { insert: 1, when: 'before', records: 7 },
    ];
    const zombies: ReturnType<typeof dying>[] = [];
    for (const kill of kills) {
      const zombie = dying(create(), kill);
      zombies.push(zombie);
      const runner = await start(zombie.sink);
      await zombie.stands;
      // It gives up waiting for what stands still, and leaves the group.
      await runner.stop();
    }
    const last = await start(create());
    const retryTopic = retryOf(TOPIC, 'clickhouse');
    await eventually(
      'all tried',
      async () => (await groupLag(client, sinkGroup('clickhouse'), retryTopic)) === 0,
    );
    for (const { goOn } of zombies) goOn();
    await Promise.all(zombies.map(({ isOver }) => isOver));
    expect(last.status()).toMatchObject({ parkedRecords: 0, deadLettered: 0 });
    const n = 2 * POISON;
    expect(await counted()).toEqual({ stored: n, n, sum: (n * (n - 1)) / 2 });
  });
});
