import { setTimeout as sleep } from 'node:timers/promises';
import { errorMessage } from '../runtime/errors.ts';
import { activeTopics } from '../schemas/topics.ts';
import type { KafkaStats } from './kafka-stats.ts';
import type { Sample } from './quiet.ts';
import type { StoreCounts } from './stores.ts';

/** What was seen at the last look. */
export interface Observation {
  readonly topics: ReadonlyMap<string, number>;
  readonly lag: ReadonlyMap<string, number>;
  readonly stores: StoreCounts;
  readonly deadLetters: number;
  /** Why the last look failed; undefined when it did not. */
  readonly trouble: string | undefined;
}

export interface MonitorDeps {
  readonly stats: KafkaStats;
  readonly stores: { counts(): Promise<StoreCounts> };
}

const EMPTY: Observation = {
  topics: new Map(),
  lag: new Map(),
  stores: new Map(),
  deadLetters: 0,
  trouble: undefined,
};

const INTERVAL_MS = 1_000;

/** Looks at Kafka and the stores again and again; an engine that does not answer is shown, not fatal. */
export class Monitor {
  readonly #deps: MonitorDeps;
  readonly #stopped = new AbortController();
  #running: Promise<void> | undefined;
  latest: Observation = EMPTY;

  constructor(deps: MonitorDeps) {
    this.#deps = deps;
  }

  /** One look. @throws ReachflowError or what a store's client throws. */
  async look(): Promise<Observation> {
    const { stats, stores } = this.#deps;
    const [topics, lag, deadLetters, rows] = await Promise.all([
      stats.topicCounts(),
      stats.lag(),
      stats.dlqCount(),
      stores.counts(),
    ]);
    this.latest = { topics, lag, stores: rows, deadLetters, trouble: undefined };
    return this.latest;
  }

  start(): void {
    this.#running ??= this.#run();
  }

  async stop(): Promise<void> {
    this.#stopped.abort();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopped;
    while (!signal.aborted) {
      try {
        await this.look();
      } catch (error) {
        this.latest = { ...this.latest, trouble: errorMessage(error) };
      }
      await sleep(INTERVAL_MS, undefined, { signal }).catch(() => undefined);
    }
  }
}

/** What has to stand still at the end: lag, our topics, dead letters, stores. */
export function toSample({ topics, lag, stores, deadLetters }: Observation): Sample {
  return {
    lag: [...lag.values()].reduce((sum, records) => sum + records, 0),
    counts: [
      ...activeTopics().map((name) => topics.get(name) ?? 0),
      ...stores.values(),
      deadLetters,
    ],
  };
}
