import { setTimeout as delay } from 'node:timers/promises';
import { expect } from 'vitest';
import { eventsPipeline } from '../../pipelines/events/topology.ts';
import { ensureTopics } from '../../runtime/kafka/admin.ts';
import { createPublisher } from '../../runtime/kafka/batching-publisher.ts';
import type { KafkaClient } from '../../runtime/kafka/client.ts';
import { planTopics } from '../../runtime/topic-plan.ts';
import type { TopicCodec } from '../../schemas/codec.ts';
import type { EventRecorded, TenantCount, WebhookReceived } from '../../schemas/types.ts';
import { testStack } from '../integration/stack.ts';
import { decodedTopic, kafkaFixture } from './kafka.ts';
import { untilProcessed } from './processed.ts';
import { ReachflowProcess } from './reachflow-process.ts';

const BATCH = 200;
const PAUSE_MS = 200;
const KEYS = 200;
const PUBLISH_ATTEMPTS = 50;

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

/**
 * The `events` pipeline under a load of its own in a namespace of its own, to be disturbed; in the end what came
 * out is counted: nothing missing, nothing twice, order per key kept, state equal to a recomputation.
 */
export class ExactlyOnceTrial {
  readonly #client: KafkaClient;
  readonly #codec: TopicCodec;
  readonly #workers: ReachflowProcess[] = [];
  #publishing: Promise<number> | undefined;
  #loading = true;

  constructor() {
    const { client, codec } = kafkaFixture();
    this.#client = client;
    this.#codec = codec;
  }

  /** Creates the topics and begins to publish, in order, every tenth event twice. */
  async start(): Promise<void> {
    await ensureTopics(this.#client, planTopics([eventsPipeline], [], 4));
    this.#publishing = this.#publish();
    this.#publishing.catch(() => undefined);
  }

  async #publish(): Promise<number> {
    const publisher = await createPublisher(this.#client, this.#codec);
    let from = 0;
    for (; this.#loading; from += BATCH) {
      const batch = Array.from({ length: BATCH }, (_, n) => webhook(from + n));
      const withRepeats = batch.flatMap((value, n) => (n % 10 === 0 ? [value, value] : [value]));
      await Promise.all(
        withRepeats.map((value) => {
          const key = `${value.tenant_id}:${value.entity_id}`;
          return untilPublished(() => publisher.publish('webhook.received', { key, value }));
        }),
      );
      await delay(PAUSE_MS);
    }
    await publisher.close();
    return from;
  }

  /** A further worker process; resolves when it has joined. */
  async addWorker(): Promise<ReachflowProcess> {
    const { kafka, registry } = testStack();
    const env = {
      REACHFLOW_KAFKA_BROKERS: kafka.brokers.join(','),
      REACHFLOW_KAFKA_NAMESPACE: this.#client.config.namespace,
      REACHFLOW_KAFKA_SESSION_TIMEOUT_MS: '6000',
      REACHFLOW_REGISTRY_URL: registry.url,
    };
    const worker = new ReachflowProcess(env, ['--only', 'events']);
    this.#workers.push(worker);
    await worker.ready();
    return worker;
  }

  /** Ends the load, waits until all of it is processed, ends the workers and counts. */
  async finish(): Promise<void> {
    this.#loading = false;
    const published = (await this.#publishing) ?? 0;
    await untilProcessed(this.#client, eventsPipeline);
    for (const worker of this.#workers) {
      if (worker.running) expect(await worker.end('SIGTERM')).toBe(0);
    }
    const events = await decodedTopic(this.#client, this.#codec, 'event.recorded');
    expectEachOnceInOrder(events, published);
    const counts = await decodedTopic(this.#client, this.#codec, 'metric.tenant.count');
    expect(newestCounts(counts)).toEqual(recount(events));
  }

  /** Leaves no process behind, whatever failed. */
  async close(): Promise<void> {
    this.#loading = false;
    for (const worker of this.#workers) await worker.end('SIGKILL');
    await this.#publishing?.catch(() => undefined);
  }
}

/** As senders do. Repeated ones are dropped by the pipeline; no key comes twice in a batch. */
async function untilPublished(publish: () => Promise<unknown>): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      await publish();
      return;
    } catch (error) {
      if (attempt === PUBLISH_ATTEMPTS) throw error;
      await delay(PAUSE_MS);
    }
  }
}

function expectEachOnceInOrder(events: readonly EventRecorded[], published: number): void {
  const ids = events.map(({ event_id }) => event_id);
  expect(ids.length, 'events twice').toBe(new Set(ids).size);
  expect(ids.length, 'events missing').toBe(published);
  const lastByKey = new Map<string, number>();
  for (const { tenant_id, entity_id, event_id } of events) {
    const key = `${tenant_id}:${entity_id}`;
    const i = Number(event_id.slice(2));
    expect(i, `order of ${key}`).toBeGreaterThan(lastByKey.get(key) ?? -1);
    lastByKey.set(key, i);
  }
}

/** Events per tenant and minute, counted anew. */
function recount(events: readonly EventRecorded[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const { tenant_id, occurred_at } of events) {
    const window = `${tenant_id}/${occurred_at - (occurred_at % 60_000)}`;
    counts.set(window, (counts.get(window) ?? 0) + 1);
  }
  return counts;
}

/** The newest version of each window, as the pipeline emitted it. */
function newestCounts(emitted: readonly TenantCount[]): Map<string, number> {
  const newest = new Map<string, TenantCount>();
  for (const count of emitted) {
    const window = `${count.tenant_id}/${count.window_start}`;
    if (count.version > (newest.get(window)?.version ?? -1n)) newest.set(window, count);
  }
  return new Map([...newest].map(([window, { count }]) => [window, count]));
}
