import type { KafkaCluster } from './cluster.ts';
import { type WireApi, WireReader, type WireRequest, WireWriter } from './wire.ts';

/** Version 10, the first that tells ids (KIP-516): Kafka 2.8 and newer, up to and including 4.x. */
export const METADATA_IDS: WireApi = { key: 3, version: 10, name: 'Metadata', isFlexible: true };

const ID_BYTES = 16;
/** Of a topic that was made before its brokers knew ids. */
const NO_ID = Buffer.alloc(ID_BYTES).toString('base64url');

/** Asks for topics. Creates none. */
export function topicIdsRequest(topics: readonly string[]): WireRequest {
  const body = new WireWriter(64).uvarint(topics.length + 1);
  for (const topic of topics) {
    for (let i = 0; i < ID_BYTES; i += 1) body.int8(0);
    body.compactString(topic).uvarint(0);
  }
  // No creation, no authorized operations of cluster and topics; no tagged fields.
  return { api: METADATA_IDS, body: [body.int8(0).int8(0).int8(0).uvarint(0).done()] };
}

/** Decodes the answer: ids by name, those that the brokers do not know left out. */
export function parseTopicIds(payload: Buffer): Map<string, string> {
  const reader = new WireReader(payload);
  reader.tags();
  reader.int32();
  reader.compactArray(() => {
    reader.int32();
    reader.compactString();
    reader.int32();
    reader.compactString();
    reader.tags();
  });
  reader.compactString();
  reader.int32();
  const topics = reader.compactArray(() => {
    const code = reader.int16();
    const topic = reader.compactString();
    const id = reader.view(ID_BYTES).toString('base64url');
    reader.int8();
    reader.compactArray(() => {
      reader.view(2 + 4 + 4 + 4);
      for (let lists = 0; lists < 3; lists += 1) reader.compactArray(() => reader.int32());
      reader.tags();
    });
    reader.int32();
    reader.tags();
    return { code, topic, id };
  });
  return new Map(
    topics.flatMap(({ code, topic, id }) => (code === 0 && id !== NO_ID ? [[topic, id]] : [])),
  );
}

/**
 * What tells a topic from another one that had its name before: 22 characters by the topic's name on the brokers. Those
 * that the brokers do not tell are left out, as all are before Kafka 2.8.
 * @throws KafkaJS's errors.
 */
export async function requestTopicIds(
  cluster: KafkaCluster,
  topics: readonly string[],
): Promise<ReadonlyMap<string, string>> {
  const any = await cluster.anyBroker();
  const offered = await cluster.call(any, async ({ versions }) => versions?.[METADATA_IDS.key]);
  if ((offered?.maxVersion ?? 0) < METADATA_IDS.version) return new Map();
  return parseTopicIds(await cluster.request(any, topicIdsRequest(topics)));
}
