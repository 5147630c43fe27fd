import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ensureTopics } from '../../runtime/kafka/admin.ts';
import { createPublisher, type OwnedPublisher } from '../../runtime/kafka/batching-publisher.ts';
import { readTopic } from '../../runtime/kafka/reader.ts';
import { topics } from '../../schemas/topics.ts';
import { eventually, kafkaFixture, testLogger } from '../../tests/support/kafka.ts';
import { SECRET, testConfig } from './fixtures.ts';
import { signHmac } from './schemes/hmac.ts';
import { createWebhookConnector, type WebhookConnector } from './webhook-connector.ts';

const TOPIC = 'webhook.received';
const { client, codec } = kafkaFixture();
let publisher: OwnedPublisher;
let connector: WebhookConnector;

beforeAll(async () => {
  publisher = await createPublisher(client, codec);
  connector = createWebhookConnector(testConfig({ retryAfterSeconds: 1 }), {
    publisher,
    logger: testLogger,
  });
  await connector.start();
});

afterAll(async () => {
  await connector.stop();
  await publisher.close();
});

function send(deliveryId: string, payload: unknown): Promise<Response> {
  const body = JSON.stringify(payload);
  const signing = { secret: SECRET, deliveryId, eventType: 'order.paid', timestampMs: Date.now() };
  const headers = signHmac({ ...signing, body });
  return fetch(`${connector.url()}/webhooks/ingest/shop`, { method: 'POST', headers, body });
}

async function stored() {
  const records: { key: string; value: Buffer | null }[] = [];
  await readTopic(client, {
    topic: TOPIC,
    onRecord: ({ key, value }) => void records.push({ key: String(key), value }),
  });
  await codec.load(
    TOPIC,
    records.map(({ value }) => value),
  );
  return records.map(({ key, value }) => ({ key, value: value && codec.decode(TOPIC, value) }));
}

describe('webhooks on a real broker', { timeout: 60_000 }, () => {
  it('answers 503 while the topic cannot be written, and stores nothing of it', async () => {
    const response = await send('d-0', { id: 'early' });
    expect(response.status).toBe(503);
    expect(response.headers.get('retry-after')).toBe('1');
    expect(await response.json()).toMatchObject({ code: 'KAFKA_UNAVAILABLE' });
    const { partitions: _partitions, cleanup, retentionMs, maxMessageBytes } = topics[TOPIC];
    await ensureTopics(client, [
      { name: TOPIC, partitions: 2, cleanup, retentionMs, maxMessageBytes },
    ]);
    await eventually('it is accepted', async () => (await send('d-1', { id: 'a' })).status === 202);
    const events = (await stored()).map(({ value }) => value?.delivery_id);
    expect(new Set(events)).toEqual(new Set(['d-1']));
  });

  it('has stored every event that it answered with 202, whole', async () => {
    const sent = Array.from({ length: 200 }, (_, i) => ({
      id: `e-${i % 20}`,
      n: i,
      text: 'é\u0000',
    }));
    const answers = await Promise.all(sent.map((payload) => send(`many-${payload.n}`, payload)));
    expect(answers.map(({ status }) => status)).toEqual(sent.map(() => 202));
    const found = (await stored()).filter(({ value }) => value?.delivery_id.startsWith('many-'));
    expect(found).toHaveLength(sent.length);
    const payloadOf = new Map(found.map(({ value }) => [value?.event_id, value?.payload]));
    for (const payload of sent) {
      expect(payloadOf.get(`shop:many-${payload.n}`)).toBe(JSON.stringify(payload));
    }
    expect(found.every(({ key, value }) => key === `acme:${value?.entity_id}`)).toBe(true);
  });
});
