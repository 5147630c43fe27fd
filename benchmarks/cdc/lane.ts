import { setTimeout as delay } from 'node:timers/promises';
import { Capture } from '../../connectors/debezium/capture.ts';
import { failures } from '../../connectors/debezium/capture-state.ts';
import { connectConfigSchema, debeziumConfigSchema } from '../../connectors/debezium/config.ts';
import { ReachflowError } from '../../runtime/errors.ts';
import { ensureTopics, topicOffsets } from '../../runtime/kafka/admin.ts';
import { readTopic } from '../../runtime/kafka/reader.ts';
import type { ConnectProcess } from '../harness/connect-process.ts';
import type { Arena, Environment } from '../harness/environment.ts';
import { cpuSecondsOf } from '../harness/usage.ts';
import type { Contestant } from './contestants.ts';

export const TABLE = 'public.contacts';
export const TOPIC = `cdc.${TABLE}`;
/** The topic is looked at so often: often enough for seconds, and nothing beside what is measured. */
const LOOK_MS = 50;
/** The last transaction has come once nothing has for so long; three times `poll.interval.ms`. */
const QUIET_MS = 1_500;
/** A connector that brings nothing for so long has failed, ms. */
const STALLED_MS = 120_000;
const PROGRESS_MS = 5_000;
const TOUCH_MS = 500;
const LIMITS = { retentionMs: -1, maxMessageBytes: 8_388_608 };

/** Rows on their way into a topic, from the first look that found some to the last that found more. */
export interface Passage {
  readonly rowsPerSecond: number;
  /** CPU time of the worker for 10,000 rows, s. */
  readonly cpuPer10K: number;
  /** As many rows as were due. */
  readonly exact: boolean;
}

interface Look {
  readonly at: number;
  /** Offsets: rows, and a few marks of transactions. */
  readonly end: bigint;
  readonly cpu: number;
}

/**
 * One contestant's connector, with a slot and a topic of its own. All lanes capture the same table: a lane that is
 * halted finds in its slot what was inserted meanwhile, so each of them carries the same rows.
 */
export class Lane {
  readonly contestant: Contestant;
  readonly arena: Arena;
  readonly #capture: Capture;
  readonly #worker: ConnectProcess;
  readonly #partitions: number;
  #position: bigint[] = [];

  constructor(
    environment: Environment,
    arena: Arena,
    worker: ConnectProcess,
    contestant: Contestant,
  ) {
    this.contestant = contestant;
    this.arena = arena;
    this.#worker = worker;
    this.#partitions = environment.partitions;
    const config = debeziumConfigSchema.parse({ tables: [TABLE], snapshotMode: 'no_data' });
    const deps = {
      databaseUrl: environment.stores.postgres.url,
      registryUrl: environment.registryUrl,
      brokers: environment.brokers,
      namespace: arena.client.config.namespace,
      partitions: environment.partitions,
      replicationFactor: 1,
      connect: connectConfigSchema.parse({ url: worker.url }),
      logger: environment.logger,
    };
    this.#capture = new Capture({ source: '', config }, deps);
  }

  /** Resolves once its connector carries rows. @param touch changes a row of the table. */
  async open(touch: () => Promise<void>): Promise<void> {
    const { client, wanted, source, names } = this.#capture;
    const partitions = this.#partitions;
    await ensureTopics(this.arena.client, [
      { name: TOPIC, partitions, cleanup: 'delete', ...LIMITS },
    ]);
    this.#position = Array.from({ length: partitions }, () => 0n);
    await source.check([]);
    await client.apply(names.connector, { ...wanted, ...this.contestant.overrides });
    await this.#flows(touch);
  }

  /** Halts it once nothing comes any more; the rows so far are of no account. */
  async settle(): Promise<void> {
    await this.quiet();
    await this.halt();
    await this.take();
  }

  /** Resolves once nothing comes any more. */
  async quiet(): Promise<void> {
    let last = await this.#look();
    await this.#until(async () => {
      const now = await this.#look();
      if (now.end > last.end) last = now;
      return now.at - last.at > QUIET_MS;
    });
  }

  /** Ends what `open` and the rows have made. Idempotent. */
  async remove(): Promise<void> {
    await this.#capture.remove();
    await this.arena.remove();
  }

  /** Resolves once it has carried what its slot has kept. @param touch changes a row of the table. */
  async resume(touch: () => Promise<void>): Promise<void> {
    await this.#capture.client.resume(this.#capture.names.connector);
    await this.#flows(touch);
    await this.quiet();
  }

  /** Resolves once no task of it runs. */
  async halt(): Promise<void> {
    const { client, names } = this.#capture;
    await client.stop(names.connector);
    await this.#until(async () => (await client.status(names.connector))?.tasks.length === 0);
  }

  /** Resumes it, and measures how it carries the rows that its slot has kept. It is halted then. */
  async carry(rows: number, onProgress: (text: string) => void): Promise<Passage> {
    const start = await this.#look();
    let first: Look | undefined;
    let last = start;
    let told = performance.now();
    await this.#capture.client.resume(this.#capture.names.connector);
    await this.#until(async () => {
      const now = await this.#look();
      if (now.end > last.end) {
        last = now;
        first ??= now;
      }
      if (first !== undefined && last.at > first.at && now.at - told > PROGRESS_MS) {
        told = now.at;
        const rate = Number(last.end - first.end) / (last.at - first.at);
        onProgress(`  ${now.end - start.end} of ${rows} rows, ${rate.toFixed(1)} K rows/s`);
      }
      return last.end - start.end >= BigInt(rows) && now.at - last.at > QUIET_MS;
    });
    await this.halt();
    if (first === undefined) throw new Error('no rows');
    const carried = await this.take();
    const measured = carried.length * (Number(last.end - first.end) / Number(last.end - start.end));
    return {
      rowsPerSecond: (measured * 1_000) / (last.at - first.at),
      cpuPer10K: ((last.cpu - first.cpu) * 1e4) / measured,
      exact: carried.length === rows && new Set(carried).size === rows,
    };
  }

  /** Ids of the rows that have come since it was called before, in any order. */
  async take(): Promise<number[]> {
    const ids: number[] = [];
    const { idOf } = this.contestant;
    await readTopic(this.arena.client, {
      topic: TOPIC,
      start: (partition) => this.#position[partition] ?? 0n,
      onRecord: ({ key }) => {
        if (key !== null) ids.push(idOf(key));
      },
      onPosition: (partition, next) => {
        this.#position[partition] = next;
      },
    });
    return ids;
  }

  /** Resolves once rows come: a task that runs does not read the log yet, and a slot has not seen what was before it. */
  async #flows(touch: () => Promise<void>): Promise<void> {
    const { end } = await this.#look();
    await this.#until(async () => {
      await touch();
      await delay(TOUCH_MS);
      return (await this.#look()).end > end;
    });
  }

  async #look(): Promise<Look> {
    const offsets = await topicOffsets(this.arena.client, TOPIC);
    const end = offsets.reduce((sum, { high }) => sum + high, 0n);
    return { end, at: performance.now(), cpu: cpuSecondsOf(this.#worker.pid) };
  }

  /** @throws ReachflowError `CONTESTANT_FAILED` when its task has, or nothing comes any more. */
  async #until(isDone: () => Promise<boolean>): Promise<void> {
    const { client, names } = this.#capture;
    let end = (await this.#look()).end;
    let movedAt = performance.now();
    let asked = movedAt;
    while (!(await isDone())) {
      const now = performance.now();
      if (now - asked > PROGRESS_MS) {
        asked = now;
        const state = await client.status(names.connector);
        const failed = state === undefined ? [] : failures(state);
        if (failed.length > 0) throw this.#failed(failed.join('; '));
        const here = (await this.#look()).end;
        if (here > end) movedAt = now;
        end = here;
      }
      if (now - movedAt > STALLED_MS) throw this.#failed(`nothing for ${STALLED_MS} ms`);
      await delay(LOOK_MS);
    }
  }

  #failed(why: string): ReachflowError {
    return new ReachflowError(`${this.contestant.name}: ${why}`, {
      code: 'CONTESTANT_FAILED',
      domain: 'external',
    });
  }
}
