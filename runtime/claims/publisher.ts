import type { ClaimableValue } from '../../schemas/payloads.ts';
import { isClaimable, type TopicName, type TopicValue } from '../../schemas/topics.ts';
import type { Publication, Publisher } from '../kafka/publisher.ts';
import type { ClaimWriter } from './claim-writer.ts';

/** A value's payload, where the topic's may be kept elsewhere and this one is large. */
function largePayload(writer: ClaimWriter, topic: TopicName, value: object): string | undefined {
  if (!isClaimable(topic)) return undefined;
  const { payload } = value as ClaimableValue;
  return writer.isLarge(payload) ? payload : undefined;
}

/**
 * The value to write: with a reference where its payload is large and was stored, else as it is. Once this resolves, the
 * payload is durable.
 */
export async function checkIn<T extends TopicName>(
  writer: ClaimWriter,
  topic: T,
  value: TopicValue<T>,
): Promise<TopicValue<T>> {
  const payload = largePayload(writer, topic, value);
  if (payload === undefined) return value;
  const ref = await writer.store(payload);
  return ref === undefined ? value : { ...value, payload: '', payload_ref: ref };
}

/** What a record became, once it is handed to the publisher behind. */
interface HandedOver {
  readonly acked: Promise<void>;
}

/**
 * A publisher that stores large payloads first and publishes references to them. Records of a key reach the publisher
 * behind in the order of the calls: a small one waits for a large one before it.
 */
export function claimCheckingPublisher(inner: Publisher, writer: ClaimWriter): Publisher {
  /** The newest record of each key that has one on its way to the storage. */
  const newest = new Map<string, Promise<HandedOver>>();

  async function handOver<T extends TopicName>(
    topic: T,
    record: Publication<T>,
    before: Promise<HandedOver> | undefined,
  ): Promise<HandedOver> {
    const [value] = await Promise.all([checkIn(writer, topic, record.value), before]);
    return { acked: inner.publish(topic, { ...record, value }) };
  }

  return {
    async publish(topic, record) {
      const place = `${topic}/${record.key}`;
      const before = newest.size === 0 ? undefined : newest.get(place);
      if (before === undefined && largePayload(writer, topic, record.value) === undefined)
        return inner.publish(topic, record);
      const handed = handOver(topic, record, before);
      newest.set(place, handed);
      const { acked } = await handed;
      if (newest.get(place) === handed) newest.delete(place);
      return acked;
    },
  };
}
