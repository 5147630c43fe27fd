/**
 * `npm run bench`: the `events` pipeline, exactly once with state and windows, against a bare KafkaJS loop that
 * decodes, encodes and produces the same records at least once, on the same broker, in alternating runs. Machines
 * differ, so what counts is the ratio. Needs a running stack (`npx reachflow stack up`).
 */
import { randomBytes } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { pino } from 'pino';
import { loadAppConfig } from '../cli/config.ts';
import { line, table } from '../cli/output.ts';
import { kafkaOf } from '../cli/product.ts';
import { eventsPipeline } from '../pipelines/events/topology.ts';
import { deliveryConfigSchema } from '../runtime/delivery/config.ts';
import { Engine } from '../runtime/engine.ts';
import { ensureTopics, groupLag } from '../runtime/kafka/admin.ts';
import { createPublisher } from '../runtime/kafka/batching-publisher.ts';
import type { KafkaClient } from '../runtime/kafka/client.ts';
import { planTopics } from '../runtime/topic-plan.ts';
import type { TopicCodec } from '../schemas/codec.ts';

const RECORDS = Number(process.argv[2] ?? 100_000);
const RUNS = Number(process.argv[3] ?? 3);
const logger = pino({ level: 'error' }, pino.destination(2));
const { config } = await loadAppConfig();

interface Bench {
  readonly client: KafkaClient;
  readonly codec: TopicCodec;
}

interface Result {
  readonly seconds: number;
  readonly cpuSeconds: number;
}

/** A namespace with `RECORDS` webhooks in it: 10 % repeats, 20 tenants, 4 partitions. */
async function fill(): Promise<Bench> {
  const kafka = {
    ...config.kafka,
    namespace: `bench-${randomBytes(3).toString('hex')}`,
    maxQueuedRecords: RECORDS,
  };
  const bench = kafkaOf({ ...config, kafka }, logger);
  await ensureTopics(bench.client, planTopics([eventsPipeline], [], 4));
  await bench.codec.register(['webhook.received', 'event.recorded']);
  const publisher = await createPublisher(bench.client, bench.codec);
  const now = Date.now();
  const sent = Array.from({ length: RECORDS }, (_, i) => {
    const id = String(i % 10 === 9 ? i - 1 : i);
    const value = {
      event_id: `bench:${id}`,
      tenant_id: `tenant-${i % 20}`,
      source: 'bench',
      event_type: 'order.paid',
      delivery_id: id,
      entity_id: `entity-${i % 1_000}`,
      occurred_at: now - (i % 300_000),
      received_at: now,
      payload: `{"id":${i},"total":"49.90","currency":"EUR","customer":"c-${i % 977}"}`,
    };
    return publisher.publish('webhook.received', { key: `k${id}`, value });
  });
  await Promise.all(sent);
  await publisher.close();
  return bench;
}

async function measure(
  bench: Bench,
  group: string,
  start: () => Promise<() => Promise<void>>,
): Promise<Result> {
  const began = performance.now();
  const cpu = process.cpuUsage();
  const stop = await start();
  while ((await groupLag(bench.client, group, 'webhook.received')) > 0) await delay(20);
  const { user, system } = process.cpuUsage(cpu);
  const seconds = (performance.now() - began) / 1_000;
  await stop();
  return { seconds, cpuSeconds: (user + system) / 1e6 };
}

async function bareLoop({ client, codec }: Bench): Promise<() => Promise<void>> {
  const { kafka, physical } = client;
  const producer = kafka.producer({ idempotent: true, maxInFlightRequests: 1 });
  const consumer = kafka.consumer({ groupId: physical('bare'), maxWaitTimeInMs: 100 });
  await Promise.all([producer.connect(), consumer.connect()]);
  await consumer.subscribe({ topics: [physical('webhook.received')], fromBeginning: true });
  await consumer.run({
    autoCommit: false,
    partitionsConsumedConcurrently: 4,
    eachBatch: async ({ batch }) => {
      await codec.load(
        'webhook.received',
        batch.messages.map(({ value }) => value),
      );
      const messages = batch.messages.map(({ key, value }) => {
        const webhook = codec.decode('webhook.received', value ?? Buffer.alloc(0));
        const { event_id, tenant_id, event_type, entity_id, received_at, payload } = webhook;
        const event = { event_id, tenant_id, event_type, entity_id, received_at, payload };
        const occurred_at = webhook.occurred_at ?? received_at;
        return {
          key,
          value: codec.encode('event.recorded', { ...event, source: 'bare', occurred_at }),
        };
      });
      await producer.send({ topic: physical('event.recorded'), messages, acks: -1 });
      const offset = String(BigInt(batch.lastOffset()) + 1n);
      await consumer.commitOffsets([{ topic: batch.topic, partition: batch.partition, offset }]);
    },
  });
  return async () => {
    await consumer.disconnect();
    await producer.disconnect();
  };
}

async function pipeline({ client, codec }: Bench): Promise<() => Promise<void>> {
  const publisher = await createPublisher(client, codec);
  const engine = new Engine({
    client,
    codec,
    publisher,
    pipelines: [eventsPipeline],
    sinks: [],
    delivery: deliveryConfigSchema.parse({}),
    logger,
    onFatal: (error) => {
      throw error;
    },
  });
  await engine.start();
  return async () => {
    await engine.stop();
    await publisher.close();
  };
}

const rows: string[][] = [];
const ratios: number[] = [];
for (let run = 1; run <= RUNS; run += 1) {
  line(`run ${run} of ${RUNS}: ${RECORDS} records …`);
  const forBare = await fill();
  const bare = await measure(forBare, 'bare', () => bareLoop(forBare));
  const forPipeline = await fill();
  const ours = await measure(forPipeline, 'events.webhooks', () => pipeline(forPipeline));
  ratios.push(bare.cpuSeconds / ours.cpuSeconds);
  for (const [name, result] of [
    ['bare loop', bare],
    ['events pipeline', ours],
  ] as const) {
    rows.push([
      name,
      Math.round(RECORDS / result.seconds).toLocaleString('en'),
      Math.round(RECORDS / result.cpuSeconds).toLocaleString('en'),
      `${Math.round(process.memoryUsage().rss / 1_048_576)} MiB`,
    ]);
  }
}
const median = ratios.toSorted((a, b) => a - b)[Math.floor(ratios.length / 2)] ?? 0;
line(table(['', 'records/s', 'records per CPU-second', 'resident'], rows));
line(
  `Exactly once, with deduplication and windows: ${median.toFixed(2)} of the bare loop's records per CPU-second (median).`,
);
process.exit(0);
