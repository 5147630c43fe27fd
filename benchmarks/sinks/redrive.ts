import { randomUUID } from 'node:crypto';
import { deadLetter, deadLetterInfo } from '../../runtime/delivery/dead-letter.ts';
import { runRedrive } from '../../runtime/delivery/redrive.ts';
import { planRedrive, type SelectLetters } from '../../runtime/delivery/redrive-plan.ts';
import { Resolutions } from '../../runtime/delivery/resolutions.ts';
import { ReachflowError } from '../../runtime/errors.ts';
import { ensureTopics, topicOffsets } from '../../runtime/kafka/admin.ts';
import type { KafkaClient } from '../../runtime/kafka/client.ts';
import { EpochProducer } from '../../runtime/kafka/epoch-producer.ts';
import { readPartition } from '../../runtime/kafka/partition-reader.ts';
import type { KafkaRecord } from '../../runtime/kafka/record.ts';
import { dlqOf, retryOf } from '../../schemas/topics.ts';
import type { Environment } from '../harness/environment.ts';
import type { Sample } from '../harness/report.ts';
import type { Scenario } from '../harness/scenario.ts';
import { usageOf } from '../harness/usage.ts';

const TOPIC = 'event.recorded';
const CONSUMER = 'postgres';
const PARTITIONS = 4;
const VALUE = Buffer.alloc(1_024, 'x');
const BATCH = 5_000;
const everything: SelectLetters = (letters) => Promise.resolve(letters);

/** Writes letters as a sink's delivery does: 1 KB, and headers that say why. */
async function writeLetters(client: KafkaClient, records: number): Promise<void> {
  const name = dlqOf(TOPIC, CONSUMER);
  const plan = { partitions: PARTITIONS, cleanup: 'delete', retentionMs: -1 } as const;
  await ensureTopics(client, [{ ...plan, name, maxMessageBytes: 1_048_576 }]);
  const error = new ReachflowError('column "x" is too short', { code: 'PG_22001', domain: 'user' });
  const producer = await EpochProducer.open(client, 'benchmark.letters');
  for (let from = 0; from < records; from += BATCH) {
    const batch = producer.begin();
    for (let i = from; i < Math.min(from + BATCH, records); i += 1) {
      const [partition, key] = [i % PARTITIONS, Buffer.from(`key-${i % 10_000}`)];
      const offset = BigInt(Math.floor(i / PARTITIONS));
      const record: KafkaRecord = { offset, timestamp: Date.now(), key, value: VALUE, headers: {} };
      const failure = { topic: TOPIC, partition, record, consumer: CONSUMER, step: 'write', error };
      const letter = deadLetter({ ...failure, attempts: 1, firstFailure: Date.now() });
      batch.append(name, partition, key, VALUE, Date.now(), letter.headers);
    }
    await producer.commit(batch, []);
  }
  await producer.close();
  // Its answer says that the markers of what was committed are written: readers see all of it.
  await (await EpochProducer.open(client, 'benchmark.letters')).close();
}

/** Whether each letter was sent once, in the order of the records that failed. */
async function isExact(client: KafkaClient, records: number): Promise<boolean> {
  const topic = retryOf(TOPIC, CONSUMER);
  let count = 0;
  let ordered = true;
  for (const { partition, low, high } of await topicOffsets(client, topic)) {
    let expected = 0;
    await readPartition(client, {
      topic,
      partition,
      from: low,
      to: high,
      onRecords: (found) => {
        for (const record of found) {
          ordered &&= Number(deadLetterInfo(record).offset) === expected;
          expected += 1;
        }
      },
    });
    count += expected;
  }
  return ordered && count === records;
}

async function once(environment: Environment, run: number, records: number): Promise<Sample> {
  const arena = await environment.arena('redrive');
  const { client } = arena;
  try {
    await writeLetters(client, records);
    const before = usageOf([process.pid]).cpuSeconds;
    const began = performance.now();
    const options = { dlqs: [dlqOf(TOPIC, CONSUMER)], select: everything, maxReplays: 3 };
    const resolutions = await Resolutions.read(client);
    const plan = await planRedrive(client, resolutions, { ...options, sends: true });
    const planned = performance.now();
    const audit = { run: randomUUID(), actor: 'benchmark', selection: {}, force: false } as const;
    await runRedrive(client, { ...options, plan, audit: { ...audit, resolution: 'redriven' } });
    const ended = performance.now();
    const figures = {
      perSecond: (records * 1_000) / (ended - began),
      planMs: planned - began,
      cpuSeconds: usageOf([process.pid]).cpuSeconds - before,
    };
    const exact = await isExact(client, records);
    return { contestant: 'reachflow', run, figures, exact, detail: `${records} letters` };
  } finally {
    await arena.remove();
  }
}

/** How fast letters are looked through and sent back, exactly once. */
export const redrive: Scenario = {
  name: 'redrive',
  summary: 'dead letters of 1 KB sent back to their consumer, exactly once and in order',
  peers: false,
  defaults: { records: 200_000, warmUp: 0 },
  async run(environment, _contestants, { records, runs, onProgress }) {
    const samples: Sample[] = [];
    for (let run = 1; run <= runs; run += 1) {
      onProgress(`run ${run} of ${runs} …`);
      samples.push(await once(environment, run, records));
    }
    const columns = [
      { figure: 'perSecond', title: 'letters/s', digits: 0 },
      { figure: 'planMs', title: 'ms to look through', digits: 0 },
      { figure: 'cpuSeconds', title: 'CPU-s', digits: 1 },
    ];
    return { columns, samples, ratios: [] };
  },
};
