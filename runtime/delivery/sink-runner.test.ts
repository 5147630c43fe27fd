import { pino } from 'pino';
import { describe, expect, it } from 'vitest';
import { TopicCodec } from '../../schemas/codec.ts';
import { createSchemaRegistryClient } from '../../schemas/registry.ts';
import { createKafkaClient } from '../kafka/client.ts';
import { kafkaConfigSchema } from '../kafka/config.ts';
import { deliveryConfigSchema } from './config.ts';
import { SinkRunner } from './sink-runner.ts';

const logger = pino({ level: 'silent' });
const never = () => new Promise<never>(() => undefined);

describe('a sink', () => {
  it('stops though its store answers nothing, neither to opening nor to closing', async () => {
    // Nothing listens there, and nothing asks: the sink never opens.
    const kafka = kafkaConfigSchema.parse({ brokers: ['127.0.0.1:1'] });
    const client = createKafkaClient(kafka, logger);
    const registry = createSchemaRegistryClient('http://127.0.0.1:1');
    const runner = new SinkRunner({
      sink: {
        name: 'scripted',
        mode: 'idempotent',
        topics: ['contact.golden'],
        limits: { records: 10, bytes: 1_000, lingerMs: 0 },
        writers: 1,
        open: never,
        write: never,
        close: never,
      },
      config: deliveryConfigSchema.parse({}),
      client,
      codec: new TopicCodec(registry, client.physical),
      publisher: { publish: never, publishRaw: never, close: never },
      logger,
      onFatal: (error) => expect.fail(error.message),
    });
    void runner.start();
    expect(await runner.stop().then(() => 'stopped')).toBe('stopped');
  });
});
