import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from 'pino';
import { backoffMs, settledWithin } from '../../runtime/backoff.ts';
import { errorMessage, type ReachflowError } from '../../runtime/errors.ts';
import type { KafkaClient } from '../../runtime/kafka/client.ts';
import { followTopic } from '../../runtime/kafka/reader.ts';
import type { KafkaRecord } from '../../runtime/kafka/record.ts';
import type { TopicCodec } from '../../schemas/codec.ts';
import type { TenantThrottled } from '../../schemas/types.ts';

/** Tenants that may send less for now. */
export interface Throttles {
  /** What a tenant may send at present; undefined when nothing holds it back. */
  of(tenant: string): TenantThrottled | undefined;
}

export interface FollowedThrottles extends Throttles {
  close(): Promise<void>;
}

export interface ThrottleDeps {
  readonly client: KafkaClient;
  readonly codec: TopicCodec;
  readonly logger: Logger;
  /** ms since the epoch; the system clock by default. */
  readonly clock?: () => number;
}

const TOPIC = 'tenant.throttled';
/** How long a start waits to know all throttles, ms: without a broker events are taken all the same. */
const START_MS = 5_000;
/** How long a close waits for a broker that does not answer, ms. */
const CLOSE_MS = 2_000;
const BACKOFF = { initialMs: 100, maxMs: 5_000 };

/** Tenants by the newest record of each; those that are over are forgotten. */
export class ThrottleTable implements Throttles {
  readonly #rows = new Map<string, TenantThrottled>();
  readonly #clock: () => number;

  constructor(clock: () => number) {
    this.#clock = clock;
  }

  of(tenant: string): TenantThrottled | undefined {
    const row = this.#rows.get(tenant);
    return row !== undefined && row.until > this.#clock() ? row : undefined;
  }

  /** @param value null ends it. */
  set(tenant: string, value: TenantThrottled | null): void {
    if (value === null || value.until <= this.#clock()) this.#rows.delete(tenant);
    else this.#rows.set(tenant, value);
  }

  /** Forgets what is over, so that what is kept is what is in force. */
  prune(): void {
    const now = this.#clock();
    for (const [tenant, { until }] of this.#rows) if (until <= now) this.#rows.delete(tenant);
  }
}

/**
 * Follows `tenant.throttled`, for as long as it is not closed: while the brokers are away, what was known goes on. Resolves
 * once all of it is known, or after some seconds without a broker.
 */
export async function followThrottles(deps: ThrottleDeps): Promise<FollowedThrottles> {
  const logger = deps.logger.child({ table: TOPIC });
  const table = new ThrottleTable(deps.clock ?? Date.now);
  const over = new AbortController();
  const known = Promise.withResolvers<void>();
  const running = follow({ ...deps, logger }, table, over.signal, () => known.resolve());
  const wait = delay(START_MS, undefined, { signal: over.signal, ref: false }).catch(
    () => undefined,
  );
  await Promise.race([known.promise, wait]);
  return {
    of: (tenant) => table.of(tenant),
    async close() {
      over.abort();
      await settledWithin(CLOSE_MS, [running]);
    },
  };
}

async function follow(
  deps: ThrottleDeps,
  table: ThrottleTable,
  signal: AbortSignal,
  onKnown: () => void,
): Promise<void> {
  for (let attempt = 1; !signal.aborted; attempt += 1) {
    try {
      await followOnce(deps, table, signal, () => {
        attempt = 1;
        onKnown();
      });
    } catch (error) {
      deps.logger.warn({ error: errorMessage(error) }, 'throttles are not followed for now');
      await delay(backoffMs(attempt, BACKOFF), undefined, { signal }).catch(() => undefined);
    }
  }
}

/** Until it is aborted. @throws what following fails with. */
async function followOnce(
  { client, codec, logger }: ThrottleDeps,
  table: ThrottleTable,
  signal: AbortSignal,
  onKnown: () => void,
): Promise<void> {
  const lost = Promise.withResolvers<ReachflowError | undefined>();
  const end = () => lost.resolve(undefined);
  let batch: KafkaRecord[] = [];
  const follower = await followTopic(client, {
    topic: TOPIC,
    onRecord: (record) => void batch.push(record),
    async onBatch() {
      const records = batch;
      batch = [];
      const values = records.map(({ value }) => value);
      await codec.load(TOPIC, values);
      for (const record of records) apply(codec, table, record, logger);
      table.prune();
    },
    onLost: lost.resolve,
  });
  signal.addEventListener('abort', end, { once: true });
  if (signal.aborted) end();
  try {
    const caughtUp = follower.caughtUp.then(() => undefined);
    const early = await Promise.race([caughtUp, lost.promise]);
    if (early === undefined && !signal.aborted) onKnown();
    const failure = early ?? (await lost.promise);
    if (failure !== undefined) throw failure;
  } finally {
    signal.removeEventListener('abort', end);
    await follower.stop();
  }
}

function apply(codec: TopicCodec, table: ThrottleTable, record: KafkaRecord, logger: Logger): void {
  const tenant = record.key?.toString('utf8') ?? '';
  try {
    table.set(tenant, record.value === null ? null : codec.decode(TOPIC, record.value));
  } catch (error) {
    // Nobody is held back by what nobody can read.
    logger.error({ error, tenant, offset: String(record.offset) }, 'throttle passed over');
  }
}
