import { setTimeout as delay } from 'node:timers/promises';
import { followTopic } from '../../runtime/kafka/reader.ts';
import type { Contestant } from '../harness/contestant.ts';
import type { Arena, Environment } from '../harness/environment.ts';
import { warm, workloadFor } from '../harness/measure.ts';
import type { Sample } from '../harness/report.ts';
import { alternate, type Scenario, type ScenarioOptions } from '../harness/scenario.ts';
import { onStage } from '../harness/stage.ts';
import { createKeys, WebhookEncoder } from '../input/encoder.ts';
import { RawProducer } from '../input/raw-producer.ts';
import { RecordBatch } from '../input/record-batch.ts';
import { eventIn } from '../verify/outputs.ts';

const RECORDS_PER_SECOND = 100;
/** What is sent before the measurement, until connections and code are warm. */
const LEAD_IN = 200;
const BATCH_BYTES = 4_096;
/** How long the last output may take, ms. */
const TAIL_MS = 10_000;
const PERCENTILES = { p50: 0.5, p95: 0.95, p99: 0.99 } as const;

/** When each event was sent, and when it was first seen in either topic, ms of this process's clock. */
interface Times {
  readonly sent: Map<number, number>;
  readonly seenBare: Map<number, number>;
  readonly seenOut: Map<number, number>;
}

/** Sends one record after the other at a fixed rate; a late one does not delay those that follow. */
async function send(
  { brokers }: Environment,
  arena: Arena,
  { records, seed }: ScenarioOptions,
  sent: Map<number, number>,
): Promise<void> {
  const producer = await RawProducer.open(brokers, arena.client.physical('webhook.received'));
  const keys = createKeys(producer.partitions);
  const encoder = new WebhookEncoder(arena.inputSchemaId);
  const workload = workloadFor(records + LEAD_IN, seed);
  const began = performance.now();
  const waiting: Promise<void>[] = [];
  for (let number = 0; number < records + LEAD_IN; number += 1) {
    await delay(Math.max(0, began + (number * 1_000) / RECORDS_PER_SECOND - performance.now()));
    const record = workload.next();
    const batch = new RecordBatch(BATCH_BYTES);
    const partition = keys.partitions[record.key] ?? 0;
    batch.append(
      record.arrivedAt,
      keys.bytes[record.key] ?? Buffer.alloc(0),
      encoder.encode(record),
    );
    if (!record.isDuplicate && number >= LEAD_IN) sent.set(record.event, performance.now());
    waiting.push(producer.send(partition, batch.take()));
  }
  await Promise.all(waiting);
  producer.close();
}

/** Notes when each event is first seen in a topic by a reader of committed records. */
function observe(arena: Arena, topic: string, seen: Map<number, number>) {
  return followTopic(arena.client, {
    topic,
    onRecord: ({ value }) => {
      if (value === null) return;
      const event = eventIn(value);
      if (!seen.has(event)) seen.set(event, performance.now());
    },
  });
}

function percentiles(sent: Map<number, number>, seen: Map<number, number>, prefix: string) {
  const latencies = [...sent].map(([event, at]) => (seen.get(event) ?? Number.NaN) - at);
  const sorted = latencies.filter((ms) => !Number.isNaN(ms)).sort((a, b) => a - b);
  return Object.fromEntries(
    Object.entries(PERCENTILES).map(([name, share]) => [
      `${prefix}${name}`,
      sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN,
    ]),
  );
}

async function measured(
  environment: Environment,
  contestant: Contestant,
  run: number,
  options: ScenarioOptions,
): Promise<Sample> {
  const times: Times = { sent: new Map(), seenBare: new Map(), seenOut: new Map() };
  return onStage(environment, contestant, { label: 'latency', work: 't1' }, async (stage) => {
    const { arena } = stage;
    const child = await stage.spawn();
    await warm(environment, child, options);
    await child.start(arena);
    const readers = await Promise.all([
      observe(arena, 'webhook.received', times.seenBare),
      observe(arena, 'event.recorded', times.seenOut),
    ]);
    await send(environment, arena, options, times.sent);
    const until = performance.now() + TAIL_MS;
    const missing = () => [...times.sent.keys()].filter((event) => !times.seenOut.has(event));
    while (missing().length > 0 && performance.now() < until) await delay(20);
    await Promise.all(readers.map((reader) => reader.stop()));
    await child.finish();
    const bare = percentiles(times.sent, times.seenBare, 'bare-');
    const out = percentiles(times.sent, times.seenOut, 'out-');
    const added = Object.keys(PERCENTILES).map((name) => [
      `added-${name}`,
      (out[`out-${name}`] ?? Number.NaN) - (bare[`bare-${name}`] ?? Number.NaN),
    ]);
    const lost = missing().length;
    return {
      ...{ contestant: contestant.name, run, exact: lost === 0 },
      figures: { ...bare, ...out, ...Object.fromEntries(added) },
      detail: `${times.sent.size} events sent, ${lost} not seen within ${TAIL_MS / 1_000} s`,
    };
  });
}

export const latency: Scenario = {
  name: 'latency',
  summary: 'from append to committed output at 100 records/s, less a bare produce and consume',
  peers: true,
  defaults: { records: 2_000, warmUp: 50_000 },
  async run(environment, contestants, options) {
    const samples = await alternate(contestants, options, (contestant, run) =>
      measured(environment, contestant, run, options),
    );
    const columns = ['bare', 'out', 'added'].flatMap((what) =>
      Object.keys(PERCENTILES).map((name) => ({
        figure: `${what}-${name}`,
        title: `${what} ${name.toUpperCase()} ms`,
        digits: 0,
      })),
    );
    return { columns, samples, ratios: [] };
  },
};
