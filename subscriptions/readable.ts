import { setTimeout as delay } from 'node:timers/promises';
import { backoffMs } from '../runtime/backoff.ts';
import type { KafkaRecord } from '../runtime/kafka/record.ts';
import type { TopicCodec } from '../schemas/codec.ts';
import type { Payloads } from '../schemas/payloads.ts';
import type { TopicName } from '../schemas/topics.ts';

const MAX_ATTEMPTS = 30;
/** Payloads in memory at a time, bytes. */
const BUDGET_BYTES = 4_194_304;

/** Records that can be decoded now. */
export interface Readable {
  readonly records: readonly KafkaRecord[];
  readonly payloads: Payloads;
}

/**
 * Loads what records need to be decoded, schemas and payloads, a few MB of these at a time; waits for a registry or a
 * storage that is away.
 * @throws ReachflowError `REGISTRY_UNAVAILABLE`, `CLAIM_NOT_FOUND`, `CLAIM_STORAGE_UNAVAILABLE` after about a minute.
 */
export async function* readable(
  codec: TopicCodec,
  topic: TopicName,
  records: readonly KafkaRecord[],
): AsyncGenerator<Readable> {
  const values = records.map(({ value }) => value);
  const keys = records.map(({ key }) => key);
  await retrying(() => codec.load(topic, values, keys));
  for (let from = 0; from < records.length; ) {
    const payloads = await retrying(async () => {
      const found = await codec.payloads(topic, values, from, BUDGET_BYTES);
      if (found.end === from && found.failure !== undefined) throw found.failure;
      return found;
    });
    yield { records: records.slice(from, payloads.end), payloads };
    from = payloads.end;
  }
}

async function retrying<T>(work: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await work();
    } catch (error) {
      if (attempt >= MAX_ATTEMPTS) throw error;
      await delay(backoffMs(attempt, { initialMs: 50, maxMs: 2_000 }));
    }
  }
}
