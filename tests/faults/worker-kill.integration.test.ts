import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { eventsPipeline } from '../../pipelines/events/topology.ts';
import { ensureTopics } from '../../runtime/kafka/admin.ts';
import { createPublisher } from '../../runtime/kafka/batching-publisher.ts';
import { KafkaStats } from '../../runtime/kafka/stats.ts';
import { planTopics } from '../../runtime/topic-plan.ts';
import type { WebhookReceived } from '../../schemas/types.ts';
import { testStack } from '../integration/stack.ts';
import { decodedTopic, eventually, kafkaFixture } from '../support/kafka.ts';
import { ReachflowProcess } from '../support/reachflow-process.ts';

const KILLS = 6;
const BATCH = 200;
const PAUSE_MS = 200;
const KEYS = 200;
const { client, codec } = kafkaFixture();
const env = {
  REACHFLOW_KAFKA_BROKERS: testStack().kafka.brokers.join(','),
  REACHFLOW_KAFKA_NAMESPACE: client.config.namespace,
  REACHFLOW_KAFKA_SESSION_TIMEOUT_MS: '6000',
  REACHFLOW_REGISTRY_URL: testStack().registry.url,
};

function webhook(i: number): WebhookReceived {
  const at = Date.now();
  return {
    event_id: `s:${i}`,
    tenant_id: `tenant-${i % 7}`,
    source: 's',
    event_type: 'e',
    delivery_id: String(i),
    entity_id: `entity-${i % KEYS}`,
    occurred_at: at,
    received_at: at,
    payload: `{"i":${i}}`,
  };
}

/** Publishes events in order, every tenth one twice, until `done`. Returns how many events. */
async function publishUntil(done: () => boolean): Promise<number> {
  const publisher = await createPublisher(client, codec);
  let from = 0;
  for (; !done(); from += BATCH) {
    const batch = Array.from({ length: BATCH }, (_, n) => webhook(from + n));
    const withRepeats = batch.flatMap((value, n) => (n % 10 === 0 ? [value, value] : [value]));
    await Promise.all(
      withRepeats.map((value) => {
        const key = `${value.tenant_id}:${value.entity_id}`;
        return publisher.publish('webhook.received', { key, value });
      }),
    );
    await delay(PAUSE_MS);
  }
  await publisher.close();
  return from;
}

describe('a worker killed at random moments', () => {
  it(`processes every event exactly once through ${KILLS} kills`, {
    timeout: 180_000,
  }, async () => {
    await ensureTopics(client, planTopics([eventsPipeline], [], 4));
    let killing = true;
    const publishing = publishUntil(() => !killing);
    let worker = new ReachflowProcess(env, ['--only', 'events']);
    for (let kill = 0; kill < KILLS; kill += 1) {
      await worker.ready();
      await delay(500 + Math.random() * 4_000);
      await worker.end('SIGKILL');
      worker = new ReachflowProcess(env, ['--only', 'events']);
    }
    await worker.ready();
    killing = false;
    const published = await publishing;
    const groups = ['webhooks', 'tenant-counts'].map((name) => ({
      group: `events.${name}`,
      topics: [name === 'webhooks' ? 'webhook.received' : 'metric.tenant.count.delta'],
    }));
    const stats = new KafkaStats(client, groups);
    // Twice in a row: what the first processor committed last may not be in the ends that one look compares.
    let settled = 0;
    await eventually(
      'all read',
      async () => {
        const lags = [...(await stats.lag()).values()];
        settled = lags.every((lag) => lag === 0) ? settled + 1 : 0;
        return settled === 2;
      },
      60_000,
    );
    await stats.close();
    expect(await worker.end('SIGTERM')).toBe(0);

    const events = await decodedTopic(client, codec, 'event.recorded');
    const ids = events.map(({ event_id }) => event_id);
    expect(ids.length, 'twice').toBe(new Set(ids).size);
    expect(new Set(ids).size, 'missing').toBe(published);

    const lastByKey = new Map<string, number>();
    for (const { tenant_id, entity_id, event_id } of events) {
      const key = `${tenant_id}:${entity_id}`;
      const i = Number(event_id.slice(2));
      expect(i, `order of ${key}`).toBeGreaterThan(lastByKey.get(key) ?? -1);
      lastByKey.set(key, i);
    }

    const expected = new Map<string, number>();
    for (const { tenant_id, occurred_at } of events) {
      const window = `${tenant_id}/${occurred_at - (occurred_at % 60_000)}`;
      expected.set(window, (expected.get(window) ?? 0) + 1);
    }
    const newest = new Map<string, { count: number; version: bigint }>();
    for (const { tenant_id, window_start, count, version } of await decodedTopic(
      client,
      codec,
      'metric.tenant.count',
    )) {
      const window = `${tenant_id}/${window_start}`;
      if (version > (newest.get(window)?.version ?? -1n)) newest.set(window, { count, version });
    }
    expect(new Map([...newest].map(([window, { count }]) => [window, count]))).toEqual(expected);
  });
});
