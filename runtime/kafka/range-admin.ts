import { QUESTION } from './admin.ts';
import { type KafkaClient, kafkaUnavailable } from './client.ts';
import { CODE, protocolCode } from './protocol-errors.ts';

/**
 * The first offset of each partition whose record is not older than a time; the end where there is none.
 * @param at ms since the epoch. @throws ReachflowError `KAFKA_UNAVAILABLE`.
 */
export async function offsetsAt(client: KafkaClient, topic: string, at: number): Promise<bigint[]> {
  return withAdmin(client, async (admin) => {
    const found = await admin.fetchTopicOffsetsByTimestamp(client.physical(topic), at);
    return found.toSorted((a, b) => a.partition - b.partition).map(({ offset }) => BigInt(offset));
  });
}

/**
 * Deletes topics and groups by their names on the brokers; those that are not there are deleted already.
 * @throws ReachflowError `KAFKA_UNAVAILABLE`, also while a group has members.
 */
export async function deleteNames(
  client: KafkaClient,
  { topics, groups }: { readonly topics: readonly string[]; readonly groups: readonly string[] },
): Promise<void> {
  await withAdmin(client, async (admin) => {
    for (const group of groups) {
      await admin.deleteGroups([group]).catch((error: unknown) => {
        const { groups: failed = [] } = error as { groups?: readonly { errorCode?: number }[] };
        if (failed.some(({ errorCode }) => errorCode !== GROUP_ID_NOT_FOUND)) throw error;
      });
    }
    for (const topic of topics) {
      await admin
        .deleteTopics({ topics: [topic], timeout: QUESTION.timeoutMs })
        .catch((error: unknown) => {
          if (protocolCode(error) !== CODE.unknownTopicOrPartition) throw error;
        });
    }
  });
}

const GROUP_ID_NOT_FOUND = 69;

async function withAdmin<T>(
  client: KafkaClient,
  work: (admin: ReturnType<KafkaClient['kafka']['admin']>) => Promise<T>,
): Promise<T> {
  const admin = client.kafka.admin();
  try {
    await admin.connect();
    return await work(admin);
  } catch (error) {
    throw kafkaUnavailable('the brokers refused', error);
  } finally {
    await admin.disconnect().catch(() => undefined);
  }
}
