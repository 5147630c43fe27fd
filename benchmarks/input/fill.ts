import { createKeys, WebhookEncoder } from './encoder.ts';
import { RawProducer } from './raw-producer.ts';
import { RecordBatch } from './record-batch.ts';
import type { Truth } from './truth.ts';
import type { Workload } from './workload.ts';

/** As large as batches of a busy producer are. */
const BATCH_BYTES = 65_536;
/** Requests that may wait for their answer: bounds what is in memory. */
const MAX_WAITING = 16;

export interface FillOptions {
  readonly brokers: readonly string[];
  /** Name on the broker. */
  readonly topic: string;
  readonly schemaId: number;
}

/**
 * Writes the next records of a workload to a topic, and tells `truth` of them.
 * @throws ReachflowError when the broker does not take them.
 */
export async function fill(
  options: FillOptions,
  workload: Workload,
  records: number,
  truth: Truth,
): Promise<void> {
  const producer = await RawProducer.open(options.brokers, options.topic);
  const keys = createKeys(producer.partitions);
  const encoder = new WebhookEncoder(options.schemaId);
  const batches = Array.from({ length: producer.partitions }, () => new RecordBatch(BATCH_BYTES));
  const waiting = new Set<Promise<void>>();
  let failure: unknown;
  const send = async (partition: number, batch: RecordBatch): Promise<void> => {
    const sent: Promise<void> = producer
      .send(partition, batch.take())
      .catch((error: unknown) => {
        failure ??= error;
      })
      .finally(() => waiting.delete(sent));
    waiting.add(sent);
    if (waiting.size >= MAX_WAITING) await Promise.race(waiting);
    if (failure !== undefined) throw failure;
  };
  try {
    for (let made = 0; made < records; made += 1) {
      const record = workload.next();
      const partition = keys.partitions[record.key] ?? 0;
      const batch = batches[partition];
      const key = keys.bytes[record.key];
      if (batch === undefined || key === undefined) throw new RangeError(`key ${record.key}`);
      truth.add(record, partition);
      const value = encoder.encode(record, workload.idOf(record.event));
      if (batch.append(record.arrivedAt, key, value)) continue;
      await send(partition, batch);
      batch.append(record.arrivedAt, key, value);
    }
    for (const [partition, batch] of batches.entries()) {
      if (batch.count > 0) await send(partition, batch);
    }
    await Promise.all(waiting);
    if (failure !== undefined) throw failure;
  } finally {
    producer.close();
  }
}
