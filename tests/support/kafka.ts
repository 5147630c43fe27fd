import { randomBytes } from 'node:crypto';
import { pino } from 'pino';
import type { StackEndpoints } from '../../compose/endpoints.ts';
import { createKafkaClient, type KafkaClient } from '../../runtime/kafka/client.ts';
import { type KafkaConfig, kafkaConfigSchema } from '../../runtime/kafka/config.ts';
import { readTopic } from '../../runtime/kafka/reader.ts';
import { TopicCodec } from '../../schemas/codec.ts';
import type { PayloadSource } from '../../schemas/payloads.ts';
import { createSchemaRegistryClient } from '../../schemas/registry.ts';
import type { TopicName, TopicValue } from '../../schemas/topics.ts';
import { testStack } from '../integration/stack.ts';

/** A logger for tests: silent unless REACHFLOW_TEST_LOG names a level. */
export const testLogger = pino({ level: process.env['REACHFLOW_TEST_LOG'] ?? 'silent' });

/** Client and codec of a namespace that no other test uses, on the run's real broker and registry, or those given. */
export function kafkaFixture(
  config: Partial<KafkaConfig> = {},
  stack: Pick<StackEndpoints, 'kafka' | 'registry'> = testStack(),
  payloads?: PayloadSource,
): {
  client: KafkaClient;
  codec: TopicCodec;
} {
  const { kafka, registry } = stack;
  const client = createKafkaClient(
    kafkaConfigSchema.parse({
      brokers: kafka.brokers,
      namespace: `t${randomBytes(4).toString('hex')}`,
      ...config,
    }),
    testLogger,
  );
  return {
    client,
    codec: new TopicCodec(createSchemaRegistryClient(registry.url), client.physical, payloads),
  };
}

/** Every committed value of a topic, decoded; tombstones are passed over. */
export async function decodedTopic<T extends TopicName>(
  client: KafkaClient,
  codec: TopicCodec,
  topic: T,
): Promise<TopicValue<T>[]> {
  const raw: Buffer[] = [];
  await readTopic(client, { topic, onRecord: ({ value }) => void (value && raw.push(value)) });
  await codec.load(topic, raw);
  const payloads = await codec.allPayloads(topic, raw);
  return raw.map((bytes) => codec.decode(topic, bytes, payloads));
}

/** Polls until `check` holds. @throws Error with `what` after `timeoutMs`. */
export async function eventually(
  what: string,
  check: () => boolean | Promise<boolean>,
  timeoutMs = 60_000,
): Promise<void> {
  const end = Date.now() + timeoutMs;
  while (!(await check())) {
    if (Date.now() > end) throw new Error(`not within ${timeoutMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
