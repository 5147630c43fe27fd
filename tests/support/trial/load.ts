import { setTimeout as delay } from 'node:timers/promises';
import { ReachflowError } from '../../../runtime/errors.ts';
import { createPublisher, type OwnedPublisher } from '../../../runtime/kafka/batching-publisher.ts';
import type { KafkaClient } from '../../../runtime/kafka/client.ts';
import { partitionOfKey } from '../../../runtime/kafka/murmur2.ts';
import type { TopicCodec } from '../../../schemas/codec.ts';
import type { WebhookReceived } from '../../../schemas/types.ts';
import type { Random } from './random.ts';
import { CLOSER, keyOf } from './topology.ts';

const KEYS = 40;
const TENANTS = 5;
const BATCH = 100;
const PAUSE_MS = 60;
/** Event time between two records, ms: a 10 s window is over after 500. */
const STEP_MS = 20;
const DISORDER_MS = 4_000;
const LATE_MS = 40_000;
/** Closers are later than all else; by this much. */
const CLOSE_MS = 10 * 3_600_000;
const RETRY_MS = 250;

/**
 * Records for `webhook.received`, as the seed decides: several per second and key, a tenth of them repeated, many out
 * of order by up to 4 s, a tenth so late that their windows are closed: what a task does first after it was opened shows
 * whether it knows the time.
 */
export class Load {
  readonly #client: KafkaClient;
  readonly #codec: TopicCodec;
  readonly #random: Random;
  readonly #base: number;
  readonly #recent: WebhookReceived[] = [];
  #publisher: Promise<OwnedPublisher> | undefined;
  #sequence = 0;
  #published = 0;
  #going: Promise<void> | undefined;
  #stopped = false;

  constructor(
    client: KafkaClient,
    codec: TopicCodec,
    random: Random,
    beginsAt = Date.now() - 86_400_000,
  ) {
    this.#base = beginsAt;
    this.#client = client;
    this.#codec = codec;
    this.#random = random;
  }

  /** Distinct events acknowledged by the broker. */
  get published(): number {
    return this.#published;
  }

  /** Begins to publish, some 1,500 events a second, until `stop`. */
  begin(): void {
    this.#stopped = false;
    this.#going = this.#run();
    this.#going.catch(() => undefined);
  }

  /** Publishes so many events at once. */
  async burst(events: number): Promise<void> {
    for (let done = 0; done < events; done += BATCH) await this.#batch();
  }

  /** Publishes one event made from what it is given. Returns its key. */
  async one(change: Partial<WebhookReceived>): Promise<string> {
    const event = { ...this.#event(), ...change };
    await this.#publish([event]);
    this.#published += 1;
    return keyOf(event);
  }

  /** Publishes bytes that are no value of the topic. */
  async garbage(key: string, value: Buffer): Promise<void> {
    const publisher = await this.#opened();
    await publisher.publishRaw({ topic: 'webhook.received', key, value });
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#going;
    this.#going = undefined;
  }

  /** Moves the event time of each partition far ahead, so that all windows close. */
  async closeWindows(partitions: number): Promise<void> {
    const missing = new Set(Array.from({ length: partitions }, (_, partition) => partition));
    for (let n = 0; missing.size > 0; n += 1) {
      const entity_id = `closer-${n}`;
      const partition = partitionOfKey(`${CLOSER}:${entity_id}`, partitions);
      if (!missing.delete(partition)) continue;
      const occurred_at = this.#base + CLOSE_MS;
      await this.one({ tenant_id: CLOSER, entity_id, occurred_at });
    }
  }

  async close(): Promise<void> {
    await this.stop();
    await (await this.#publisher)?.close();
  }

  #opened(): Promise<OwnedPublisher> {
    this.#publisher ??= createPublisher(this.#client, this.#codec);
    return this.#publisher;
  }

  async #run(): Promise<void> {
    while (!this.#stopped) {
      await this.#batch();
      await delay(PAUSE_MS);
    }
  }

  async #batch(): Promise<void> {
    const events = Array.from({ length: BATCH }, () => this.#event());
    const withRepeats = events.flatMap((event) => {
      this.#recent.push(event);
      if (this.#recent.length > BATCH) this.#recent.shift();
      if (this.#random.int(1, 10) > 1) return [event];
      return [event, this.#recent[this.#random.int(0, this.#recent.length - 1)] ?? event];
    });
    await this.#publish(withRepeats);
    this.#published += BATCH;
  }

  #event(): WebhookReceived {
    const random = this.#random;
    const i = this.#sequence++;
    const n = random.int(0, KEYS - 1);
    const kind = random.int(1, 100);
    const behind = kind <= 10 ? LATE_MS : kind <= 50 ? random.int(0, DISORDER_MS) : 0;
    const now = Date.now();
    return {
      event_id: `e:${i}`,
      tenant_id: `tenant-${n % TENANTS}`,
      source: 's',
      event_type: 'e',
      delivery_id: String(i),
      entity_id: `entity-${n}`,
      occurred_at: this.#base + i * STEP_MS - behind,
      received_at: now,
      payload: `{"i":${i}}`,
    };
  }

  /** What is not acknowledged is published again: it may then be there twice, which the dedup has to see to. */
  async #publish(events: readonly WebhookReceived[]): Promise<void> {
    const publisher = await this.#opened();
    let waiting = events;
    while (waiting.length > 0) {
      const results = await Promise.allSettled(
        waiting.map((value) => publisher.publish('webhook.received', { key: keyOf(value), value })),
      );
      const failed = waiting.filter((_, i) => results[i]?.status === 'rejected');
      for (const result of results)
        if (result.status === 'rejected') assertRetriable(result.reason);
      if (failed.length > 0) await delay(RETRY_MS);
      waiting = failed;
    }
  }
}

function assertRetriable(error: unknown): void {
  if (!(error instanceof ReachflowError) || error.retry !== 'backoff') throw error;
}
