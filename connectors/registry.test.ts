import { pino } from 'pino';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { createKafkaClient } from '../runtime/kafka/client.ts';
import { kafkaConfigSchema, registryConfigSchema } from '../runtime/kafka/config.ts';
import { TopicCodec } from '../schemas/codec.ts';
import { createSchemaRegistryClient } from '../schemas/registry.ts';
import { isTopicName } from '../schemas/topics.ts';
import { connectorConfigSections, connectors } from './registry.ts';
import { createMemoryPublisher } from './webhook/fixtures.ts';

describe('the registry of connectors', () => {
  const configs = z.strictObject(connectorConfigSections).parse({
    ...Object.fromEntries(Object.keys(connectorConfigSections).map((section) => [section, {}])),
  });
  const logger = pino({ level: 'silent' });
  const registryUrl = 'http://127.0.0.1:8081/apis/ccompat/v7';
  const client = createKafkaClient(kafkaConfigSchema.parse({}), logger);
  const services = {
    client,
    codec: new TopicCodec(createSchemaRegistryClient(registryUrl), client.physical),
    registry: registryConfigSchema.parse({ url: registryUrl }),
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

  it('has each name once', () => {
    expect(new Set(connectors.map(({ name }) => name)).size).toBe(connectors.length);
  });
});
