import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { killComponent, startComponent } from '../../compose/stack.ts';
import { webhookConfigSchema } from '../../connectors/webhook/config.ts';
import { signHmac } from '../../connectors/webhook/schemes/hmac.ts';
import {
  createWebhookConnector,
  type WebhookConnector,
} from '../../connectors/webhook/webhook-connector.ts';
import { ensureTopics } from '../../runtime/kafka/admin.ts';
import { createPublisher, type OwnedPublisher } from '../../runtime/kafka/batching-publisher.ts';
import { createKafkaClient, type KafkaClient } from '../../runtime/kafka/client.ts';
import { kafkaConfigSchema } from '../../runtime/kafka/config.ts';
import { planTopics } from '../../runtime/topic-plan.ts';
import { TopicCodec } from '../../schemas/codec.ts';
import { createSchemaRegistryClient } from '../../schemas/registry.ts';
import { decodedTopic, eventually, testLogger } from '../support/kafka.ts';
import { type OwnStack, startOwnStack } from '../support/own-stack.ts';
import { ReachflowProcess } from '../support/reachflow-process.ts';

const SECRET = 'a-secret-of-this-test-only';

describe('webhooks while the broker is away', () => {
  let own: OwnStack;
  let client: KafkaClient;
  let codec: TopicCodec;
  let publisher: OwnedPublisher;
  let webhook: WebhookConnector;
  let worker: ReachflowProcess;
  const answers = new Map<string, number>();

  beforeAll(async () => {
    own = await startOwnStack('broker-away');
    const { endpoints } = own;
    client = createKafkaClient(
      kafkaConfigSchema.parse({ brokers: endpoints.kafka.brokers, ackTimeoutMs: 4_000 }),
      testLogger,
    );
    codec = new TopicCodec(createSchemaRegistryClient(endpoints.registry.url), client.physical);
    await ensureTopics(client, planTopics([], [], 4));
    publisher = await createPublisher(client, codec);
    const sources = {
      shop: { scheme: 'hmac', tenant: 't', secrets: [SECRET], entityPointers: ['/id'] },
    };
    worker = new ReachflowProcess(
      {
        REACHFLOW_KAFKA_BROKERS: endpoints.kafka.brokers.join(','),
        REACHFLOW_REGISTRY_URL: endpoints.registry.url,
      },
      ['--only', 'events'],
    );
    webhook = createWebhookConnector(webhookConfigSchema.parse({ port: 0, sources }), {
      publisher,
      logger: testLogger,
    });
    await webhook.start();
    await worker.ready();
  }, 120_000);

  afterAll(async () => {
    await worker?.end('SIGTERM');
    await webhook?.stop();
    await publisher?.close().catch(() => undefined);
    await own?.remove();
  }, 60_000);

  async function post(deliveryId: string): Promise<Response> {
    const body = `{"id":"${deliveryId}"}`;
    const headers = signHmac({
      secret: SECRET,
      body,
      deliveryId,
      eventType: 'e',
      timestampMs: Date.now(),
    });
    const response = await fetch(`${webhook.url()}/webhooks/ingest/shop`, {
      method: 'POST',
      headers,
      body,
    });
    answers.set(deliveryId, response.status);
    await response.body?.cancel();
    return response;
  }

  const batch = (name: string) =>
    Promise.all(Array.from({ length: 50 }, (_, i) => post(`${name}-${i}`)));

  it('answers 503 with Retry-After, recovers by itself, and has stored just what it accepted', async () => {
    for (const { status } of await batch('before')) expect(status).toBe(202);

    await killComponent(own.dir, 'kafka', 'SIGKILL');
    for (const response of await batch('away')) {
      expect(response.status).toBe(503);
      expect(Number(response.headers.get('retry-after'))).toBeGreaterThan(0);
    }

    await startComponent(own.dir, 'kafka');
    let attempt = 0;
    await eventually(
      'accepts again',
      async () => (await post(`again-${attempt++}`)).status === 202,
    );
    for (const { status } of await batch('after')) expect(status).toBe(202);

    const accepted = [...answers].filter(([, status]) => status === 202).map(([id]) => id);
    const received = await decodedTopic(client, codec, 'webhook.received');
    expect(received.map((value) => value.delivery_id).toSorted()).toEqual(accepted.toSorted());

    // The pipeline has outlived the broker, too: it goes on by itself, and each event comes out once.
    const recorded = async () => {
      const events = await decodedTopic(client, codec, 'event.recorded');
      return events.map(({ event_id }) => event_id.replace('shop:', '')).toSorted();
    };
    await eventually(
      'all processed',
      async () => (await recorded()).length >= accepted.length,
      60_000,
    );
    expect(await recorded()).toEqual(accepted.toSorted());
    expect(worker.running).toBe(true);
  }, 180_000);
});
