import { pino } from 'pino';
import { describe, expect, it } from 'vitest';
import { createKafkaClient } from '../runtime/kafka/client.ts';
import { kafkaConfigSchema } from '../runtime/kafka/config.ts';
import { TopicCodec } from '../schemas/codec.ts';
import { createSchemaRegistryClient } from '../schemas/registry.ts';
import { isTopicName } from '../schemas/topics.ts';
import { connectConfigSchema, debeziumConfigSchema } from './debezium/config.ts';
import { fileConfigSchema } from './file/config.ts';
import { connectors } from './registry.ts';
import { webhookConfigSchema } from './webhook/config.ts';
import { createMemoryPublisher } from './webhook/fixtures.ts';

describe('the registry of connectors', () => {
  const configs = {
    webhook: webhookConfigSchema.parse({}),
    debezium: debeziumConfigSchema.parse({}),
    connect: connectConfigSchema.parse({}),
    file: fileConfigSchema.parse({}),
  };
  const logger = pino({ level: 'silent' });
  const registryUrl = 'http://127.0.0.1:8081/apis/ccompat/v7';
  const client = createKafkaClient(kafkaConfigSchema.parse({}), logger);
  const services = {
    client,
    codec: new TopicCodec(createSchemaRegistryClient(registryUrl), client.physical),
    publisher: createMemoryPublisher(),
    logger,
    databaseUrl: 'postgres://app:app@127.0.0.1:5432/app',
    registryUrl,
    brokers: ['127.0.0.1:9092'],
    namespace: '',
    partitions: 4,
    replicationFactor: 1,
  };

  it.each(connectors.map((registration) => [registration.name, registration] as const))(
    '%s: made from the defaults, it has its name and fills topics of the map',
    async (name, registration) => {
      const connector = registration.create(configs, services);
      expect(connector.name).toBe(name);
      expect(connector.topics.filter((topic) => !isTopicName(topic))).toEqual([]);
      expect((await connector.status()).state).toBe('stopped');
    },
  );

  it('has each name and each topic once', () => {
    const all = connectors.map((registration) => registration.create(configs, services));
    const topics = all.flatMap((connector) => connector.topics);
    expect(new Set(topics).size).toBe(topics.length);
    expect(new Set(all.map(({ name }) => name)).size).toBe(connectors.length);
  });
});
