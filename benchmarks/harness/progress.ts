import { setTimeout as delay } from 'node:timers/promises';
import { ReachflowError } from '../../runtime/errors.ts';
import type { KafkaClient } from '../../runtime/kafka/client.ts';
import type { Read } from './protocol.ts';

/** How exactly the end of the work is seen, ms. */
const POLL_MS = 50;
/** No group has moved for so long: something is wrong. */
const STALL_MS = 120_000;

/** Records that a group has still to read; transaction markers count. */
async function lagOf(
  admin: ReturnType<KafkaClient['kafka']['admin']>,
  { physical }: KafkaClient,
  { group, topic }: Read,
): Promise<number> {
  const name = physical(topic);
  const ends = await admin.fetchTopicOffsets(name);
  const [found] = await admin.fetchOffsets({ groupId: physical(group), topics: [name] });
  const committed = new Map(found?.partitions.map((at) => [at.partition, Number(at.offset)]));
  let lag = 0;
  for (const { partition, low, high } of ends) {
    lag += Number(high) - Math.max(Number(low), committed.get(partition) ?? -1);
  }
  return lag;
}

/**
 * Resolves once each group has committed the end of its topic, in the order given: what one commits, the next one
 * reads, and both are there with the same transaction.
 * @throws ReachflowError `STALLED` when nothing moves for two minutes.
 */
export async function awaitRead(client: KafkaClient, reads: readonly Read[]): Promise<void> {
  const admin = client.kafka.admin({ retry: { initialRetryTime: 50, retries: 8 } });
  await admin.connect();
  try {
    for (const read of reads) {
      let least = Number.POSITIVE_INFINITY;
      let movedAt = performance.now();
      for (let lag = await lagOf(admin, client, read); lag > 0; ) {
        if (lag !== least) movedAt = performance.now();
        least = lag;
        if (performance.now() - movedAt > STALL_MS) throw stalled(read, lag);
        await delay(POLL_MS);
        lag = await lagOf(admin, client, read);
      }
    }
  } finally {
    await admin.disconnect();
  }
}

function stalled({ group, topic }: Read, lag: number): ReachflowError {
  return new ReachflowError(`${group} stands still, ${lag} records before the end of ${topic}`, {
    code: 'STALLED',
    domain: 'external',
    hint: 'The contestant’s log is in .reachflow/bench.',
  });
}
