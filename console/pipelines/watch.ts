import { setTimeout as delay } from 'node:timers/promises';
import { dlqStretches, dlqTopics } from '../../runtime/delivery/dlq-reader.ts';
import { errorMessage, ReachflowError } from '../../runtime/errors.ts';
import type { KafkaClient } from '../../runtime/kafka/client.ts';
import { leaseCluster } from '../../runtime/kafka/cluster-lease.ts';
import type { StatusData } from '../../runtime/observability/status-data.ts';
import type { ConsoleConfig } from '../config.ts';
import { FigureMaker } from './figures.ts';
import type { Parts } from './graph.ts';

export interface WatchDeps {
  readonly client: KafkaClient;
  readonly parts: Parts;
  /** Asks brokers and processes. */
  readonly readStatus: () => Promise<StatusData>;
  readonly config: Pick<ConsoleConfig, 'statusMs'>;
}

/** How often the dead letter queues are measured: their topics are many, ms. */
const LETTERS_MS = 5_000;

/** Asks brokers and processes while somebody looks, once for all who do. */
export class PipelineWatch {
  readonly #deps: WatchDeps;
  readonly #listeners = new Set<(event: 'figures' | 'problem', json: string) => void>();
  #maker: FigureMaker;
  #letters: ReadonlyMap<string, number> = new Map();
  #lettersAt = Number.NEGATIVE_INFINITY;
  #last: readonly ['figures' | 'problem', string] | undefined;
  #running: Promise<void> | undefined;
  readonly #closing = new AbortController();

  constructor(deps: WatchDeps) {
    this.#deps = deps;
    this.#maker = new FigureMaker(deps.parts);
  }

  /** Tells of each look, the last one at once. @returns ends that; idempotent. */
  follow(listener: (event: 'figures' | 'problem', json: string) => void): () => void {
    this.#listeners.add(listener);
    if (this.#last !== undefined) listener(...this.#last);
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined;
    });
    return () => void this.#listeners.delete(listener);
  }

  /** Until nobody looks. Never rejects: a problem is shown. */
  async #run(): Promise<void> {
    const { client, config, parts } = this.#deps;
    // The same connections for every look.
    const lease = leaseCluster(client);
    this.#maker = new FigureMaker(parts);
    try {
      while (this.#listeners.size > 0 && !this.#closing.signal.aborted) {
        const began = performance.now();
        this.#last = await this.#look();
        for (const listener of this.#listeners) listener(...this.#last);
        const restMs = Math.max(50, config.statusMs - (performance.now() - began));
        const { signal } = this.#closing;
        await delay(restMs, undefined, { signal }).catch(() => undefined);
      }
    } finally {
      this.#last = undefined;
      lease.release();
    }
  }

  async #look(): Promise<readonly ['figures' | 'problem', string]> {
    try {
      const status = await this.#deps.readStatus();
      if (performance.now() - this.#lettersAt > LETTERS_MS) {
        this.#letters = await letterCounts(this.#deps.client);
        this.#lettersAt = performance.now();
      }
      return ['figures', JSON.stringify(this.#maker.figures(status, this.#letters))];
    } catch (error) {
      const known = error instanceof ReachflowError ? error : undefined;
      const { code = 'UNEXPECTED', hint = 'The log of the console has the cause.' } = known ?? {};
      return ['problem', JSON.stringify({ code, detail: errorMessage(error), hint })];
    }
  }

  async close(): Promise<void> {
    this.#closing.abort();
    this.#listeners.clear();
    await this.#running;
  }
}

/** By queue. */
async function letterCounts(client: KafkaClient): Promise<Map<string, number>> {
  const counts = new Map<string, number>();
  for (const { dlq, from, to } of await dlqStretches(client, await dlqTopics(client))) {
    counts.set(dlq, (counts.get(dlq) ?? 0) + Number(to - from));
  }
  return counts;
}
