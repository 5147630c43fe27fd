import { createHash } from 'node:crypto';
import { ReachflowError } from '../../runtime/errors.ts';
import { topicOffsets } from '../../runtime/kafka/admin.ts';
import type { KafkaClient } from '../../runtime/kafka/client.ts';
import { readTopic } from '../../runtime/kafka/reader.ts';
import type { KafkaRecord } from '../../runtime/kafka/record.ts';
import type { TopicCodec } from '../../schemas/codec.ts';
import type { Payloads } from '../../schemas/payloads.ts';
import type { TopicName, TopicValue } from '../../schemas/topics.ts';
import { ContactsReplay } from '../verify/contacts-replay.ts';
import { EventsReplay } from '../verify/events-replay.ts';
import type { TopicFacts } from '../verify/facts.ts';
import type { SourceRecord } from '../verify/position.ts';

export interface TopicReaderDeps {
  readonly client: KafkaClient;
  readonly codec: TopicCodec;
}

/** MD5 of a record's value in hex; of nothing for a tombstone. */
export function valueDigest(value: Buffer | null): string {
  return createHash('md5')
    .update(value ?? '')
    .digest('hex');
}

/** Reads the source topics whole and replays them. Memory: an id and a few fields per record, not its payload. */
export async function readSourceTopics(deps: TopicReaderDeps): Promise<TopicFacts> {
  const events = new EventsReplay();
  const contacts = new ContactsReplay();
  const truncated = new Set<string>();
  await replay(deps, 'webhook.received', truncated, (record) => events.webhook(record));
  await replay(deps, 'cdc.public.events', truncated, (record) => events.change(record));
  await replay(deps, 'cdc.public.companies', truncated, (record) => contacts.company(record));
  await replay(deps, 'cdc.public.contacts', truncated, (record) => contacts.contact(record));
  return { events, contacts, truncated };
}

async function replay<T extends TopicName>(
  { client, codec }: TopicReaderDeps,
  topic: T,
  truncated: Set<string>,
  onRecord: (record: SourceRecord<TopicValue<T>>) => void,
): Promise<void> {
  const offsets = await topicOffsets(client, topic);
  if (offsets.some(({ low }) => low > 0n)) truncated.add(topic);
  let batch: { record: KafkaRecord; partition: number }[] = [];
  await readTopic(client, {
    topic,
    onRecord: (record, partition) => batch.push({ record, partition }),
    async onBatch() {
      // Taken before the first await: another partition's batch may come while schemas are looked up.
      const taken = batch;
      batch = [];
      const values = taken.map(({ record }) => record.value);
      await codec.load(topic, values);
      const payloads = await codec.allPayloads(topic, values);
      for (const { record, partition } of taken) {
        const { offset, timestamp } = record;
        const digest = valueDigest(record.value);
        const value = decode(codec, topic, record, payloads);
        onRecord({ partition, offset, timestamp, digest, value });
      }
    },
  });
}

function decode<T extends TopicName>(
  codec: TopicCodec,
  topic: T,
  { value }: KafkaRecord,
  payloads: Payloads,
): TopicValue<T> | null | undefined {
  if (value === null) return null;
  try {
    return codec.decode(topic, value, payloads);
  } catch (error) {
    if (error instanceof ReachflowError && error.code === 'UNDECODABLE') return undefined;
    throw error;
  }
}
