import { z } from 'zod';
import type { KafkaClient } from '../../runtime/kafka/client.ts';
import { readTopic } from '../../runtime/kafka/reader.ts';
import type { KafkaRecord } from '../../runtime/kafka/record.ts';
import type { TopicCodec } from '../../schemas/codec.ts';
import type { TopicName, TopicValue } from '../../schemas/topics.ts';
import type { OrderFacts } from './facts.ts';

/** Where a record stands among those of its key; undefined where it is of no interest. */
type PlaceOf<T extends TopicName> = (
  value: TopicValue<T>,
) => { readonly key: string; readonly place: bigint } | undefined;

async function orderOf<T extends TopicName>(
  client: KafkaClient,
  codec: TopicCodec,
  topic: T,
  placeOf: PlaceOf<T>,
): Promise<OrderFacts> {
  const last = new Map<string, bigint>();
  let records = 0;
  let reordered = 0;
  let batch: KafkaRecord[] = [];
  await readTopic(client, {
    topic,
    onRecord: (record) => batch.push(record),
    async onBatch() {
      // Taken before the first await: another partition's batch may come while schemas are looked up.
      const taken = batch;
      batch = [];
      await codec.load(
        topic,
        taken.map(({ value }) => value),
      );
      for (const { value } of taken) {
        const found = value === null ? undefined : placeOf(codec.decode(topic, value));
        if (found === undefined) continue;
        records += 1;
        // Equal is wrong, too: each place is made once.
        if (found.place <= (last.get(found.key) ?? -1n)) reordered += 1;
        else last.set(found.key, found.place);
      }
    },
  });
  return { topic, records, reordered };
}

const payload = z.object({ entity: z.string(), seq: z.int() });

/** Looks through the topics that the stores are fed from: the records of each key have to stand in their order. */
export async function readOrder(client: KafkaClient, codec: TopicCodec): Promise<OrderFacts[]> {
  const byVersion = ({ id, version }: { readonly id: string; readonly version: bigint }) => ({
    key: id,
    place: version,
  });
  return [
    await orderOf(client, codec, 'ledger.account', byVersion),
    await orderOf(client, codec, 'ledger.teller', byVersion),
    await orderOf(client, codec, 'ledger.branch', byVersion),
    await orderOf(client, codec, 'event.recorded', ({ payload: text }) => {
      const { entity, seq } = payload.parse(JSON.parse(text));
      return { key: entity, place: BigInt(seq) };
    }),
  ];
}
