import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { checkHealth } from '../../compose/health.ts';
import { signHmac } from '../../connectors/webhook/schemes/hmac.ts';
import { topicPartitions } from '../../runtime/kafka/admin.ts';
import { createKafkaClient } from '../../runtime/kafka/client.ts';
import { type KafkaConfig, kafkaConfigSchema } from '../../runtime/kafka/config.ts';
import { kafkaSecurity } from '../../runtime/kafka/security.ts';
import { TopicCodec } from '../../schemas/codec.ts';
import { createSchemaRegistryClient } from '../../schemas/registry.ts';
import { decodedTopic, eventually, testLogger } from '../support/kafka.ts';
import { ReachflowProcess } from '../support/reachflow-process.ts';
import {
  plainUser,
  type SecureBroker,
  scramUser,
  startSecureBroker,
} from '../support/secure-broker.ts';
import { testStack } from './stack.ts';

const SECRET = 'a-secret-of-this-test-only';
const sources = {
  shop: { scheme: 'hmac', tenant: 't', secrets: [SECRET], entityPointers: ['/id'] },
};

type Way = { brokers: string; tls: Record<string, string | boolean>; sasl: Record<string, string> };

const login = (mechanism: string, user: { username: string; password: string }) => ({
  make: ({ sasl, files }: SecureBroker): Way => ({
    brokers: sasl,
    tls: { enabled: true, caFile: files.ca },
    sasl: { mechanism, ...user },
  }),
});
const plain = login('plain', plainUser);

/** Every way in, by the name of its test. */
const ways: [string, { make: (broker: SecureBroker) => Way }][] = [
  ['SCRAM-SHA-512 over TLS', login('scram-sha-512', scramUser)],
  ['PLAIN over TLS', plain],
  [
    'a certificate',
    {
      make: ({ mutualTls, files }) => ({
        brokers: mutualTls,
        tls: { enabled: true, caFile: files.ca, certFile: files.cert, keyFile: files.key },
        sasl: {},
      }),
    },
  ],
];

/** As the settings' environment variables: `caFile` of `kafka.tls` is `REACHFLOW_KAFKA_TLS_CA_FILE`. */
function environment(section: 'TLS' | 'SASL', values: Readonly<Record<string, string | boolean>>) {
  const name = (key: string) => key.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase();
  return Object.fromEntries(
    Object.entries(values).map(([key, v]) => [
      `REACHFLOW_KAFKA_${section}_${name(key)}`,
      String(v),
    ]),
  );
}

describe('a broker that lets nobody in without a login', () => {
  let broker: SecureBroker;
  beforeAll(async () => {
    broker = await startSecureBroker();
  }, 120_000);
  afterAll(() => broker?.remove());

  const kafkaOf = ({ brokers, ...security }: Way, namespace = '') =>
    kafkaConfigSchema.parse({ brokers: [brokers], namespace, ...security } satisfies Record<
      string,
      unknown
    >);

  it.each(ways)('takes webhooks through a pipeline by %s', async (name, { make }) => {
    const way = make(broker);
    const config: KafkaConfig = kafkaOf(way, name.replaceAll(/[^A-Za-z0-9]/g, ''));
    const { registry } = testStack();
    const worker = new ReachflowProcess(
      {
        REACHFLOW_KAFKA_BROKERS: way.brokers,
        REACHFLOW_KAFKA_NAMESPACE: config.namespace,
        REACHFLOW_REGISTRY_URL: registry.url,
        REACHFLOW_WEBHOOK_PORT: '0',
        REACHFLOW_WEBHOOK_SOURCES: JSON.stringify(sources),
        ...environment('TLS', way.tls),
        ...environment('SASL', way.sasl),
      },
      ['--only', 'webhook,events'],
    );
    try {
      const { webhookUrl } = await worker.ready();
      const body = '{"id":"1"}';
      const signed = { secret: SECRET, body, deliveryId: 'd1', eventType: 'e' };
      const headers = signHmac({ ...signed, timestampMs: Date.now() });
      const url = `${webhookUrl}/webhooks/ingest/shop`;
      const response = await fetch(url, { method: 'POST', headers, body });
      expect(response.status, await response.text()).toBe(202);
      const client = createKafkaClient(config, testLogger);
      const codec = new TopicCodec(createSchemaRegistryClient(registry.url), client.physical);
      await eventually('the event is recorded', async () => {
        const recorded = await decodedTopic(client, codec, 'event.recorded');
        return recorded.length === 1 && recorded[0]?.event_id === 'shop:d1';
      });
    } finally {
      await worker.end('SIGTERM');
    }
  });

  it('is found by the check of external engines, and not without its authority', async () => {
    const { brokers, ...security } = plain.make(broker);
    const endpoints = { ...testStack(), kafka: { brokers: [brokers] } };
    const kafka = kafkaSecurity(kafkaConfigSchema.parse(security));
    await checkHealth('kafka', endpoints, { kafka, headers: {} });
    await expect(checkHealth('kafka', endpoints)).rejects.toThrow();
    const trusting = { ssl: {}, sasl: kafka.sasl };
    await expect(checkHealth('kafka', endpoints, { kafka: trusting, headers: {} })).rejects.toThrow(
      'self-signed',
    );
  });

  const asked = (config: KafkaConfig) => topicPartitions(createKafkaClient(config, testLogger));

  it('is told apart from one that is away: a wrong password', async () => {
    const way = plain.make(broker);
    const config = kafkaOf({ ...way, sasl: { ...way.sasl, password: 'wrong' } });
    await expect(asked(config)).rejects.toMatchObject({
      code: 'KAFKA_LOGIN_REFUSED',
      hint: expect.stringContaining('kafka.sasl'),
    });
  });

  it('says why: an authority that is not trusted', async () => {
    const way = plain.make(broker);
    await expect(asked(kafkaOf({ ...way, tls: { enabled: true } }))).rejects.toMatchObject({
      code: 'KAFKA_UNAVAILABLE',
      message: expect.stringContaining('self-signed'),
    });
  });
});
