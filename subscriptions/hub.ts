import PQueue from 'p-queue';
import type { Logger } from 'pino';
import type { KafkaClient } from '../runtime/kafka/client.ts';
import type { TopicCodec } from '../schemas/codec.ts';
import type { Access } from './access.ts';
import type { SubscriptionsConfig } from './config.ts';
import { Feeds } from './feeds.ts';
import type { SubscriptionMetrics, Transport } from './metrics.ts';
import type { StreamOutlet } from './outlets.ts';
import { shuttingDown } from './problems.ts';
import { type Outlet, Subscription } from './subscription.ts';

/** The heartbeats of all connections are spread over so many turns. */
const BEAT_TURNS = 20;

interface Beating {
  readonly subscription: Subscription;
  readonly outlet: StreamOutlet;
}

export interface HubDeps {
  readonly client: KafkaClient;
  readonly codec: TopicCodec;
  readonly logger: Logger;
  readonly metrics: SubscriptionMetrics;
}

/** A subscription that is about to begin: its feed is open, its position known to be there. */
export interface Opening {
  readonly access: Access;
  /** Begins. Call once, or `release`. @returns the running subscription. */
  begin(transport: Transport, outlet: Outlet): Subscription;
  release(): void;
}

/** All subscriptions of a process. */
export class Hub {
  readonly #feeds: Feeds;
  readonly #deps: HubDeps;
  readonly #config: SubscriptionsConfig;
  readonly #reads: PQueue;
  readonly #running = new Map<Subscription, () => void>();
  readonly #turns: Set<Beating>[] = Array.from({ length: BEAT_TURNS }, () => new Set());
  readonly #timer: NodeJS.Timeout;
  #turn = 0;
  #closing = false;

  constructor(config: SubscriptionsConfig, deps: HubDeps) {
    this.#config = config;
    this.#deps = deps;
    this.#feeds = new Feeds(config, deps);
    this.#reads = new PQueue({ concurrency: config.catchUpReads });
    this.#timer = setInterval(() => this.#beat(), config.heartbeatMs / BEAT_TURNS);
  }

  get subscriptions(): number {
    return this.#running.size;
  }

  get topics(): number {
    return this.#feeds.open;
  }

  /**
   * Finds out whether a subscription can begin.
   * @throws ProblemError 400, 410, 429, 503; ReachflowError `KAFKA_UNAVAILABLE`.
   */
  async admit(access: Access): Promise<Opening> {
    if (this.#closing) throw shuttingDown();
    const leave = access.enter();
    let used: Awaited<ReturnType<Feeds['use']>> | undefined;
    const release = () => {
      leave();
      used?.release();
      used = undefined;
    };
    try {
      used = await this.#feeds.use(access.topic);
      const { feed } = used;
      const positions = await this.#feeds.positions(feed, access.start);
      return {
        access,
        release,
        begin: (transport, outlet) => {
          const { metrics } = this.#deps;
          const { tenants } = access;
          const counted = counting(outlet, transport, metrics);
          const deps = { ...this.#deps, ...this.#config, reads: this.#reads };
          const subscription = new Subscription(feed, tenants, positions, counted, deps);
          metrics.opened(transport);
          this.#running.set(subscription, () => {
            metrics.closed(transport);
            release();
          });
          if (this.#closing) subscription.end(shuttingDown());
          return subscription;
        },
      };
    } catch (error) {
      release();
      throw error;
    }
  }

  /** Keeps a connection that stays open told of its position. @returns what to call when it is gone. */
  keepAlive(subscription: Subscription, outlet: StreamOutlet): () => void {
    const turn = this.#turns[this.#running.size % BEAT_TURNS];
    const beating = { subscription, outlet };
    turn?.add(beating);
    return () => void turn?.delete(beating);
  }

  #beat(): void {
    this.#turn = (this.#turn + 1) % BEAT_TURNS;
    for (const { subscription, outlet } of this.#turns[this.#turn] ?? []) {
      // Who does not take what was sent needs no more; the stall is found where it is waited for.
      if (!subscription.ended && outlet.buffered === 0) outlet.beat(subscription.cursor);
    }
  }

  /** The connection is gone. Idempotent. */
  finish(subscription: Subscription): void {
    subscription.close();
    this.#running.get(subscription)?.();
    this.#running.delete(subscription);
  }

  /** Ends all subscriptions, telling each where to go on, and stops reading. */
  async close(): Promise<void> {
    this.#closing = true;
    clearInterval(this.#timer);
    for (const subscription of this.#running.keys()) subscription.end(shuttingDown());
    this.#reads.clear();
    await this.#feeds.close();
  }
}

function counting(outlet: Outlet, transport: Transport, metrics: SubscriptionMetrics): Outlet {
  return {
    send(event) {
      const isSent = outlet.send(event);
      if (isSent) metrics.sent(transport);
      return isSent;
    },
    get buffered() {
      return outlet.buffered;
    },
    drained: () => outlet.drained(),
    caughtUp: () => outlet.caughtUp(),
    end(problem, cursor) {
      metrics.ended(problem.code);
      outlet.end(problem, cursor);
    },
  };
}
