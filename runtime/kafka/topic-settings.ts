import { QUESTION, withCluster } from './admin.ts';
import type { KafkaClient } from './client.ts';
import type { Broker } from './kafkajs-internals.ts';
import { requestTopicIds } from './topic-ids.ts';

/** What of KafkaJS's brokers is asked here only. */
interface DescribingBroker extends Broker {
  describeConfigs(request: {
    readonly resources: readonly {
      readonly type: number;
      readonly name: string;
      readonly configNames: readonly string[];
    }[];
    readonly includeSynonyms: boolean;
  }): Promise<{
    readonly resources: readonly {
      readonly resourceName: string;
      readonly configEntries: readonly { readonly configValue: string | null }[];
    }[];
  }>;
}

/** Kafka's number of a topic among what has settings. */
const TOPIC_RESOURCE = 2;

/**
 * `max.message.bytes` of topics by logical name, as it is set now: the largest batch that each takes.
 * @throws ReachflowError `KAFKA_UNAVAILABLE` (retry: backoff), also when a topic does not exist.
 */
export async function topicLimits(
  client: KafkaClient,
  topics: readonly string[],
): Promise<Map<string, number>> {
  const found = await topicSetting(client, topics, 'max.message.bytes');
  return new Map(
    [...found].filter(([, text]) => Number(text) > 0).map(([topic, text]) => [topic, Number(text)]),
  );
}

/**
 * A setting of topics by logical name, as it is now; those without it left out.
 * @throws ReachflowError `KAFKA_UNAVAILABLE` (retry: backoff), also when a topic does not exist.
 */
export async function topicSetting(
  client: KafkaClient,
  topics: readonly string[],
  setting: string,
): Promise<Map<string, string>> {
  const request = {
    includeSynonyms: false,
    resources: topics.map((topic) => ({
      type: TOPIC_RESOURCE,
      name: client.physical(topic),
      configNames: [setting],
    })),
  };
  return withCluster(client, 'settings of topics cannot be read', async (cluster) => {
    const { resources } = await cluster.retrying(QUESTION, async () =>
      cluster.call(await cluster.anyBroker(), (broker) =>
        (broker as DescribingBroker).describeConfigs(request),
      ),
    );
    return new Map(
      resources.flatMap(({ resourceName, configEntries }) => {
        const topic = client.logical(resourceName);
        const value = configEntries[0]?.configValue;
        return topic === undefined || value == null ? [] : [[topic, value] as const];
      }),
    );
  });
}

/** The brokers' id of a topic, which another one of its name does not have; undefined before Kafka 2.8. @throws as `topicSetting`. */
export async function topicId(client: KafkaClient, topic: string): Promise<string | undefined> {
  const name = client.physical(topic);
  return withCluster(client, `the id of ${topic} cannot be read`, async (cluster) => {
    const ids = await cluster.retrying(QUESTION, () => requestTopicIds(cluster, [name]));
    return ids.get(name);
  });
}
