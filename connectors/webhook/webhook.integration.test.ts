import { createRequire } from 'node:module';
import { InMemorySpanExporter } from '@opentelemetry/sdk-trace-node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ensureTopics } from '../../runtime/kafka/admin.ts';
import { createPublisher, type OwnedPublisher } from '../../runtime/kafka/batching-publisher.ts';
import { readTopic } from '../../runtime/kafka/reader.ts';
import { observabilityConfigSchema } from '../../runtime/observability/config.ts';
import { createTracing } from '../../runtime/observability/tracing.ts';
import { topics } from '../../schemas/topics.ts';
import { eventually, kafkaFixture, testLogger } from '../../tests/support/kafka.ts';
import { SECRET, testConfig } from './fixtures.ts';
import { signGithub } from './schemes/github.ts';
import { signHmac } from './schemes/hmac.ts';
import { createWebhookConnector, type WebhookConnector } from './webhook-connector.ts';

const TOPIC = 'webhook.received';
const { client, codec } = kafkaFixture();
const tracing = createTracing({
  config: observabilityConfigSchema.parse({ tracesSampleRatio: 1 }),
  version: '1',
  instance: 'i',
  logger: testLogger,
  exporter: new InMemorySpanExporter(),
});
let publisher: OwnedPublisher;
let connector: WebhookConnector;

beforeAll(async () => {
  publisher = await createPublisher(client, codec);
  connector = createWebhookConnector(testConfig({ retryAfterSeconds: 1 }), {
    publisher,
    logger: testLogger,
    tracing,
  });
  await connector.start();
});

afterAll(async () => {
  await connector.stop();
  await publisher.close();
  await tracing.close();
});

const githubExamples = createRequire(import.meta.url)('@octokit/webhooks-examples') as readonly {
  readonly name: string;
  readonly examples: readonly object[];
}[];

function send(
  deliveryId: string,
  payload: unknown,
  more: Record<string, string> = {},
): Promise<Response> {
  const body = typeof payload === 'string' ? payload : JSON.stringify(payload);
  const signing = { secret: SECRET, deliveryId, eventType: 'order.paid', timestampMs: Date.now() };
  const headers = { ...signHmac({ ...signing, body }), ...more };
  return fetch(`${connector.url()}/webhooks/ingest/shop`, { method: 'POST', headers, body });
}

async function stored() {
  const records: { key: string; value: Buffer | null; trace: string }[] = [];
  await readTopic(client, {
    topic: TOPIC,
    onRecord: ({ key, value, headers }) =>
      void records.push({ key: String(key), value, trace: String(headers?.['traceparent']) }),
  });
  await codec.load(
    TOPIC,
    records.map(({ value }) => value),
  );
  return records.map(({ key, value, trace }) => ({
    key,
    trace,
    value: value && codec.decode(TOPIC, value),
  }));
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

  it('has stored every real GitHub payload, as it was sent', async () => {
    const sent = new Map<string, string>();
    const statuses: Promise<number>[] = [];
    for (const { name, examples } of githubExamples) {
      for (const example of examples) {
        const body = JSON.stringify(example);
        const deliveryId = `github-${sent.size}`;
        sent.set(`github:${deliveryId}`, body);
        const headers = signGithub({ secret: SECRET, body, deliveryId, event: name });
        const url = `${connector.url()}/webhooks/ingest/github`;
        statuses.push(fetch(url, { method: 'POST', headers, body }).then(({ status }) => status));
      }
    }
    expect(sent.size).toBeGreaterThan(300);
    expect(new Set(await Promise.all(statuses))).toEqual(new Set([202]));
    const found = new Map((await stored()).map(({ value }) => [value?.event_id, value?.payload]));
    for (const [id, body] of sent) expect(found.get(id)).toBe(body);
  });

  it('has stored all of a batch that it accepted, in order, in the trace of its sender', async () => {
    const trace = '4bf92f3577b34da6a3ce929d0e0e4736';
    const lines = Array.from({ length: 1_000 }, (_, n) => `{"id":"one","n":${n}}`);
    const response = await send('batch', lines.join('\n'), {
      'content-type': 'application/x-ndjson',
      traceparent: `00-${trace}-00f067aa0ba902b7-01`,
    });
    expect(response.status).toBe(202);
    const found = (await stored()).filter(({ value }) => value?.delivery_id.startsWith('batch#'));
    expect(found.map(({ value }) => value?.payload)).toEqual(lines);
    expect(found.map(({ value }) => value?.event_id)).toEqual(
      lines.map((_, n) => `shop:batch#${n}`),
    );
    expect(new Set(found.map((record) => record.trace.slice(0, 36)))).toEqual(
      new Set([`00-${trace}-`]),
    );
  });
});
