import type { Logger } from 'pino';
import type { TopicCodec } from '../../schemas/codec.ts';
import { isTopicName, retryOf } from '../../schemas/topics.ts';
import { errorMessage, ReachflowError } from '../errors.ts';
import type { OwnedPublisher } from '../kafka/batching-publisher.ts';
import type { KafkaClient } from '../kafka/client.ts';
import { GroupOffsets } from '../kafka/group-offsets.ts';
import {
  type PartitionConsumer,
  type PartitionHandler,
  startPartitionConsumer,
  type TopicPartition,
} from '../kafka/partition-consumer.ts';
import type { PartitionBatch } from '../kafka/record.ts';
import type { SinkMetrics, SinkStanding } from '../observability/delivery-metrics.ts';
import type { Metrics } from '../observability/metrics.ts';
import type { SinkStatus } from '../observability/process-status.ts';
import type { Tracing } from '../observability/tracing.ts';
import { RejectAlert } from './alert.ts';
import { Assignment } from './assignment.ts';
import { claimedPosition } from './claimed-position.ts';
import { systemClock } from './clock.ts';
import { committedPosition } from './committed-position.ts';
import type { DeliveryConfig } from './config.ts';
import { createDecode } from './decode.ts';
import { Lane } from './lane.ts';
import { BufferBudget } from './lane-buffer.ts';
import type { LaneSource } from './lane-source.ts';
import type { ParkingLimits } from './parking.ts';
import { plannedPosition } from './planned-position.ts';
import type { GroupPositions, PositionProtocol } from './position.ts';
import type { Sink } from './sink.ts';
import { type SinkCounts, StoreGate } from './store-gate.ts';

export interface SinkRunnerOptions {
  readonly sink: Sink;
  readonly config: DeliveryConfig;
  readonly client: KafkaClient;
  readonly codec: TopicCodec;
  /** Where dead letters and retries go; acknowledged before the position moves. */
  readonly publisher: OwnedPublisher;
  readonly logger: Logger;
  readonly metrics?: Metrics | undefined;
  readonly tracing?: Tracing | undefined;
  readonly onFatal: (error: ReachflowError) => void;
}

/** Consumer group of a sink. */
export function sinkGroup(name: string): string {
  return `sink.${name}`;
}

/** How long a stop waits for batches under way, ms: a store that does not answer holds nobody up. */
const STOP_MS = 8_000;
/** How long its store is waited for then, ms: a request that hangs ends with the process. */
const CLOSE_MS = 1_000;
/** Lanes only take what is handed over: all partitions of a fetch can be handed over together. */
const HANDOVERS = 64;

/**
 * Feeds one sink: a member of the sink's group with a lane for each partition that it holds. A store that cannot take
 * a batch is tried again in place, for as long as it takes; a record that can never be written goes to the DLQ.
 */
export class SinkRunner implements PartitionHandler {
  readonly #options: SinkRunnerOptions;
  readonly #logger: Logger;
  readonly #gate: StoreGate;
  readonly #budget: BufferBudget;
  readonly #offsets: GroupOffsets;
  readonly #stopped = new AbortController();
  readonly #metrics: SinkMetrics | undefined;
  readonly #alert: RejectAlert;
  /** Topics by the name of their retry topic. */
  readonly #retryTopics: ReadonlyMap<string, string>;
  /** By `<topic>/<partition>`, of the partitions held. */
  readonly #lanes = new Map<string, Lane>();
  readonly #joined = Promise.withResolvers<PartitionConsumer | undefined>();
  #consumer: PartitionConsumer | undefined;
  #starting: Promise<void> | undefined;

  constructor(options: SinkRunnerOptions) {
    const { sink, config, client, metrics, tracing, logger } = options;
    this.#options = options;
    this.#logger = logger.child({ sink: sink.name });
    this.#offsets = new GroupOffsets(client, this.name);
    this.#budget = new BufferBudget(config.bufferBytes);
    this.#retryTopics = new Map(sink.topics.map((topic) => [retryOf(topic, sink.name), topic]));
    this.#gate = new StoreGate({
      sink,
      config,
      clock: systemClock,
      logger: this.#logger,
      tracing,
      wrote: (records, ms) => this.#metrics?.wrote(records, ms),
    });
    this.#metrics = metrics?.delivery.sink(sink.name, this.#gate.counts, () => this.#standing());
    const deps = { clock: systemClock, logger: this.#logger };
    this.#alert = new RejectAlert(sink.name, config.alert, deps);
  }

  get counts(): Readonly<SinkCounts> {
    return this.#gate.counts;
  }

  /** What it says of itself. */
  status(): SinkStatus {
    const { delivered, deadLettered, retries, recordRetries, sickSince } = this.counts;
    const lanes = [...this.#lanes.values()];
    return {
      name: this.#options.sink.name,
      delivered,
      deadLettered,
      retries,
      recordRetries,
      ...this.#standing(),
      inputs: lanes.map((lane) => lane.status()),
      ...(sickSince === 0 ? {} : { awaySince: sickSince }),
    };
  }

  #standing(): SinkStanding {
    let [parkedKeys, parkedRecords] = [0, 0];
    for (const lane of this.#lanes.values()) {
      parkedKeys += lane.parkedKeys;
      parkedRecords += lane.parkedRecords;
    }
    return { breaker: this.#gate.breaker, parkedKeys, parkedRecords };
  }

  /** The sink's consumer group. */
  get name(): string {
    return sinkGroup(this.#options.sink.name);
  }

  /**
   * Opens the sink and consumes; while its store is away, in the background, and everything else goes on.
   * @throws ReachflowError when the sink can never deliver.
   */
  async start(): Promise<void> {
    if (await this.#tryOpen(1)) return this.#consume();
    this.#starting = this.#startLater().catch((error: unknown) => this.#fatal(error));
  }

  async #startLater(): Promise<void> {
    const { signal } = this.#stopped;
    for (let attempt = 2; !signal.aborted; attempt += 1) {
      await this.#gate.backOff(attempt - 1, signal);
      if (!signal.aborted && (await this.#tryOpen(attempt))) return this.#consume();
    }
  }

  /** False when the store is away. */
  async #tryOpen(attempt: number): Promise<boolean> {
    const { counts } = this.#gate;
    try {
      await this.#options.sink.open();
      counts.sickSince = 0;
      return true;
    } catch (error) {
      if (!(error instanceof ReachflowError) || error.retry === 'none') throw error;
      if (counts.sickSince === 0) counts.sickSince = Date.now();
      this.#logger.warn({ attempt, error: errorMessage(error) }, 'store is not there yet');
      return false;
    }
  }

  async #consume(): Promise<void> {
    if (this.#stopped.signal.aborted) return;
    const { sink, config, client, onFatal } = this.#options;
    try {
      this.#consumer = await startPartitionConsumer(client, {
        group: this.name,
        // A topic and its retry topic at the same member: `co-partitioned`.
        topics: [...sink.topics, ...this.#retryTopics.keys()],
        assignment: 'co-partitioned',
        handler: this,
        minBytes: config.minBytes,
        maxWaitMs: config.maxWaitMs,
        concurrency: HANDOVERS,
        onFatal,
      });
    } finally {
      this.#joined.resolve(this.#consumer);
    }
  }

  async onAssigned(held: readonly TopicPartition[]): Promise<void> {
    // A member may join before its consumer is handed to us.
    const consumer = await this.#joined.promise;
    if (consumer === undefined || this.#stopped.signal.aborted) return;
    const { memberId, generation, assigned } = consumer.describe();
    // The group has moved on already: what it holds now comes next.
    if (memberId === undefined || assigned !== held) return;
    this.#endLanes();
    const assignment = new Assignment(this.#offsets, { memberId, generation }, held);
    for (const { topic, partition } of held) consumer.pause(topic, partition);
    for (const { topic, partition } of held) {
      if (isTopicName(topic)) this.#addLane(consumer, assignment, topic, partition);
    }
  }

  #addLane(
    consumer: PartitionConsumer,
    assignment: Assignment,
    topic: Parameters<typeof createDecode>[1],
    partition: number,
  ): void {
    const { sink, config, codec, publisher } = this.#options;
    const retryTopic = retryOf(topic, sink.name);
    const sourceOf = (name: string): LaneSource => ({
      pause: () => consumer.pause(name, partition),
      resume: () => consumer.resume(name, partition),
      seek: (offset) => consumer.seek(name, partition, offset),
    });
    const positions = assignment.positions({ topic, partition });
    const lane = new Lane({
      topic,
      partition,
      sink,
      gate: this.#gate,
      config,
      clock: systemClock,
      logger: this.#logger,
      decode: createDecode(codec, topic, partition),
      publish: async (records) => {
        await Promise.all(records.map((record) => publisher.publishRaw(record)));
      },
      deadLettered: (codes) => this.#deadLettered(topic, codes),
      delivered: (records) => {
        this.#gate.counts.delivered += records;
      },
      settled: (records, rejected) => this.#alert.count(records, rejected),
      position: this.#positionOf(positions, topic, partition),
      positions,
      budget: this.#budget,
      parkingLimits: () => parkingShare(config, this.#lanes.size),
      source: sourceOf(topic),
      retrySource: sourceOf(retryTopic),
      // A claim moves when it is made, not with the generation.
      retryPositions: assignment.positions(
        { topic: retryTopic, partition },
        sink.mode === 'transactional',
      ),
      onFatal: (error) => this.#fatal(error),
    });
    this.#lanes.set(`${topic}/${partition}`, lane);
  }

  #positionOf(positions: GroupPositions, topic: string, partition: number): PositionProtocol {
    const { sink } = this.#options;
    if (sink.mode === 'planned') return plannedPosition(positions, topic, partition);
    if (sink.mode === 'transactional') {
      return claimedPosition(sink, topic, partition, positions, systemClock);
    }
    return committedPosition(positions, topic, partition);
  }

  #deadLettered(topic: string, codes: readonly string[]): void {
    const { sink, metrics } = this.#options;
    this.#gate.counts.deadLettered += codes.length;
    for (const code of codes) metrics?.delivery.deadLetter(topic, sink.name, code);
  }

  async onBatch(batch: PartitionBatch): Promise<void> {
    const { records, fetchedFrom: from, nextOffset: next, highWatermark: end } = batch;
    this.#handOver(batch.topic, batch.partition, { records, from, next, end });
  }

  async onNothing(topic: string, partition: number, next: bigint, from: bigint): Promise<void> {
    this.#handOver(topic, partition, { records: [], from, next, end: next });
  }

  #handOver(topic: string, partition: number, fetched: Parameters<Lane['push']>[0]): void {
    const origin = this.#retryTopics.get(topic);
    if (origin === undefined) this.#lanes.get(`${topic}/${partition}`)?.push(fetched);
    else this.#lanes.get(`${origin}/${partition}`)?.pushRetries(fetched);
  }

  /** What is under way is written and committed; the consumer bounds how long it waits for that. */
  async onRebalance(): Promise<void> {
    await Promise.all([...this.#lanes.values()].map((lane) => lane.drain()));
  }

  /** Whoever is still busy has lost its partition, or gets it anew. */
  #endLanes(): void {
    for (const lane of this.#lanes.values()) lane.kill();
    this.#lanes.clear();
  }

  #fatal(error: unknown): void {
    const { sink, onFatal } = this.#options;
    onFatal(
      error instanceof ReachflowError
        ? error
        : new ReachflowError(`sink ${sink.name} failed: ${errorMessage(error)}`, {
            code: 'SINK_FAILED',
            domain: 'internal',
            cause: error,
          }),
    );
  }

  /** Finishes the batches under way, commits, leaves the group, closes the sink. Some 10 s at most, whatever hangs. */
  async stop(): Promise<void> {
    this.#stopped.abort();
    this.#joined.resolve(undefined);
    const drained = async () => {
      await this.#starting;
      await this.onRebalance();
    };
    await within(STOP_MS, drained());
    this.#endLanes();
    await this.#consumer?.stop();
    this.#offsets.close();
    this.#metrics?.close();
    this.#alert.close();
    await within(CLOSE_MS, this.#options.sink.close());
  }
}

/** Resolves with `work`, or after `ms`. @throws what `work` throws until then. */
async function within(ms: number, work: Promise<void>): Promise<void> {
  const timer = new AbortController();
  try {
    await Promise.race([work, systemClock.sleep(ms, timer.signal)]);
  } finally {
    timer.abort();
  }
}

const MIN_PARKING_BYTES = 65_536;

/** Of what may wait in all retry topics of a sink, the part of one of `lanes`. */
function parkingShare({ parking }: DeliveryConfig, lanes: number): ParkingLimits {
  const bytes = Math.max(MIN_PARKING_BYTES, Math.floor(parking.maxBytes / Math.max(1, lanes)));
  return { records: parking.maxRecords, bytes };
}
