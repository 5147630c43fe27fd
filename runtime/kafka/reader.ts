import { setTimeout as delay } from 'node:timers/promises';
import { backoffMs } from '../backoff.ts';
import { errorMessage, ReachflowError } from '../errors.ts';
import { type KafkaClient, kafkaUnavailable } from './client.ts';
import { KafkaCluster } from './cluster.ts';
import { decodeRecords, type FetchedPartition, fetchPartitions } from './fetch.ts';
import { protocolError } from './kafkajs-internals.ts';
import { type PartitionOffsets, requestOffsets } from './partition-offsets.ts';
import { CODE, isTransient } from './protocol-errors.ts';
import type { KafkaRecord } from './record.ts';

export interface ReadOptions {
  /** Logical topic name. */
  readonly topic: string;
  /** Only these partitions; all when absent. */
  readonly partitions?: readonly number[];
  /** Where to begin, of a partition that reaches from `low` to `high`; at its beginning when absent. */
  readonly start?: (partition: number, offsets: PartitionOffsets) => bigint;
  /** Called in offset order within a partition. What it throws ends the read. */
  readonly onRecord: (record: KafkaRecord, partition: number) => void;
  /** After a batch's records; the next batch of the partition waits for it. */
  readonly onBatch?: () => Promise<void>;
  /** Reading of a partition goes on at `nextOffset`: behind a batch, and behind markers and aborted transactions. */
  readonly onPosition?: (partition: number, nextOffset: bigint) => void;
}

/** `followTopic` goes on for long: it has to say when it cannot. */
export interface FollowOptions extends ReadOptions {
  /** Called when reading gave up for good; nothing is handed over any more. */
  readonly onLost?: (error: ReachflowError) => void;
}

export interface TopicFollower {
  /**
   * Resolves once every record that was committed at the start has been handed over, and those of transactions that
   * were undecided then, unless that takes longer than a second.
   */
  readonly caughtUp: Promise<void>;
  stop(): Promise<void>;
}

const STALL_MS = 60_000;
/** How long to wait for transactions that were undecided at the start, ms: an owner that crashed leaves one for longer. */
const UNDECIDED_MS = 1_000;
/** How long a fetch under way may hold up the end, ms. */
const STOP_MS = 2_000;
const LIMITS = { maxWaitMs: 100, maxBytes: 16_777_216, partitionMaxBytes: 4_194_304 };
/** A follower whose brokers are away tries for some ten minutes before it gives up. */
const MAX_FAILURES = 300;

/**
 * Reads a topic from its beginning, or from `start`, and goes on reading until stopped: only committed transactions, from the leaders
 * of its partitions, without a consumer group.
 * @throws ReachflowError `KAFKA_UNAVAILABLE` when the broker or the topic is away.
 */
export async function followTopic(
  client: KafkaClient,
  options: FollowOptions,
): Promise<TopicFollower> {
  const follower = new Follower(client, options);
  await follower.start();
  return follower;
}

/**
 * Reads what the topic holds now, from its beginning, then returns.
 * @throws ReachflowError `KAFKA_UNAVAILABLE`, `READ_STALLED` (both retry: backoff), and what `onRecord` throws.
 */
export async function readTopic(client: KafkaClient, options: ReadOptions): Promise<void> {
  const follower = await followTopic(client, options);
  try {
    await follower.caughtUp;
  } finally {
    await follower.stop();
  }
}

class Follower implements TopicFollower {
  readonly #client: KafkaClient;
  readonly #options: FollowOptions;
  /** Its own: a fetch that waits for data holds up what follows it on the same connection. */
  readonly #cluster: KafkaCluster;
  readonly #topic: string;
  readonly #next = new Map<number, bigint>();
  /** Where each partition ended at the start, as long as it is not reached. */
  readonly #ends = new Map<number, bigint>();
  /** Where what is stable ended at the start. */
  readonly #stable = new Map<number, bigint>();
  readonly #caughtUp = Promise.withResolvers<void>();
  readonly #stopping = new AbortController();
  #first = 0;
  #movedAt = performance.now();
  #running: Promise<void> = Promise.resolve();

  constructor(client: KafkaClient, options: FollowOptions) {
    this.#client = client;
    this.#options = options;
    this.#cluster = new KafkaCluster(client);
    this.#topic = client.physical(options.topic);
    this.#caughtUp.promise.catch(() => undefined);
  }

  get caughtUp(): Promise<void> {
    return this.#caughtUp.promise;
  }

  async start(): Promise<void> {
    try {
      await this.#findEnds();
    } catch (error) {
      await this.#cluster.close();
      throw kafkaUnavailable(`reading ${this.#options.topic} failed`, error);
    }
    this.#advanced();
    this.#running = this.#run();
  }

  async #findEnds(): Promise<void> {
    const retry = { timeoutMs: 15_000, pauseMs: 50 };
    const count = await this.#cluster.retrying(retry, () =>
      this.#cluster.partitionCount(this.#topic),
    );
    const all = Array.from({ length: count }, (_, partition) => partition);
    const wanted = this.#options.partitions ?? all;
    const sources = wanted.map((partition) => ({ topic: this.#topic, partition }));
    const offsets = await requestOffsets(this.#cluster, sources);
    for (const [i, found] of offsets.entries()) {
      const { low, high, lastStable } = found;
      const partition = wanted[i] ?? 0;
      const start = this.#options.start?.(partition, found) ?? low;
      this.#stable.set(partition, lastStable);
      this.#next.set(partition, start);
      if (high > start) this.#ends.set(partition, high);
    }
  }

  async #run(): Promise<void> {
    let failures = 0;
    while (!this.#stopping.signal.aborted) {
      try {
        await this.#poll();
        failures = 0;
      } catch (error) {
        failures += 1;
        if (!isTransient(error) || failures > MAX_FAILURES) return this.#lose(error);
        this.#cluster.forgetLeaders(this.#topic);
        const waitMs = backoffMs(failures, { initialMs: 50, maxMs: 2_000 });
        const { signal } = this.#stopping;
        await delay(waitMs, undefined, { signal }).catch(() => undefined);
      }
      if (this.#ends.size > 0) this.#checkStall(performance.now() - this.#movedAt);
    }
  }

  #checkStall(sinceMs: number): void {
    const allStable = [...this.#ends.keys()].every(
      (partition) => (this.#next.get(partition) ?? 0n) >= (this.#stable.get(partition) ?? 0n),
    );
    if (sinceMs <= (allStable ? UNDECIDED_MS : STALL_MS)) return;
    this.#ends.clear();
    if (allStable) this.#caughtUp.resolve();
    else this.#caughtUp.reject(stalled(this.#options.topic));
  }

  /** One fetch from each leader. */
  async #poll(): Promise<void> {
    const byLeader = new Map<number, number[]>();
    // A fetch is filled in the order of its partitions: another one comes first each time.
    const all = [...this.#next.keys()];
    this.#first = (this.#first + 1) % Math.max(all.length, 1);
    for (const partition of [...all.slice(this.#first), ...all.slice(0, this.#first)]) {
      const leader = await this.#cluster.leader(this.#topic, partition);
      const group = byLeader.get(leader);
      if (group === undefined) byLeader.set(leader, [partition]);
      else group.push(partition);
    }
    const fetches = [...byLeader].map(async ([leader, partitions]) => {
      const positions = partitions.map((partition) => ({
        topic: this.#topic,
        partition,
        from: this.#next.get(partition) ?? 0n,
      }));
      const fetched = await fetchPartitions(this.#cluster, leader, positions, LIMITS);
      for (const partition of fetched) {
        if (this.#stopping.signal.aborted) return;
        await this.#take(partition);
      }
    });
    const results = await Promise.allSettled(fetches);
    for (const result of results) if (result.status === 'rejected') throw result.reason;
  }

  async #take(fetched: FetchedPartition): Promise<void> {
    const { partition, code } = fetched;
    if (code === CODE.offsetOutOfRange) return this.#startAnew(partition);
    if (code !== 0) throw protocolError(code);
    const { records, nextOffset } = decodeRecords(fetched);
    if (nextOffset === fetched.from) return;
    for (const record of records) {
      this.#options.onRecord(record, partition);
      this.#next.set(partition, record.offset + 1n);
    }
    this.#next.set(partition, nextOffset);
    if (records.length > 0) await this.#options.onBatch?.();
    this.#options.onPosition?.(partition, nextOffset);
    this.#movedAt = performance.now();
    if (nextOffset >= (this.#ends.get(partition) ?? nextOffset + 1n)) this.#ends.delete(partition);
    this.#advanced();
  }

  /** What was to come was deleted: the first record that is still there comes next. */
  async #startAnew(partition: number): Promise<void> {
    const [offsets] = await requestOffsets(this.#cluster, [{ topic: this.#topic, partition }]);
    if (offsets !== undefined) this.#next.set(partition, offsets.low);
  }

  #advanced(): void {
    if (this.#ends.size === 0) this.#caughtUp.resolve();
  }

  #lose(cause: unknown): void {
    this.#caughtUp.reject(cause);
    const { topic, onLost } = this.#options;
    if (this.#stopping.signal.aborted) return;
    this.#client.logger.debug({ topic, error: errorMessage(cause) }, 'topic not followed any more');
    onLost?.(kafkaUnavailable(`reading ${topic} failed`, cause));
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    const timer = new AbortController();
    const bound = delay(STOP_MS, undefined, { signal: timer.signal }).catch(() => undefined);
    const closed = this.#running.then(() => this.#cluster.close());
    await Promise.race([closed, bound]);
    timer.abort();
  }
}

function stalled(topic: string): ReachflowError {
  return new ReachflowError(`reading ${topic} stands still before its end`, {
    code: 'READ_STALLED',
    domain: 'external',
    retry: 'backoff',
    hint: 'A transaction that was never ended may hold readers back until it times out.',
  });
}
