import type { Logger } from 'pino';
import type { TopicCodec } from '../../schemas/codec.ts';
import { changelogOf, dlqOf, type TopicName } from '../../schemas/topics.ts';
import { errorMessage, ReachflowError } from '../errors.ts';
import { committedOffsets, deleteRecordsBefore } from '../kafka/admin.ts';
import type { KafkaClient } from '../kafka/client.ts';
import { EpochProducer } from '../kafka/epoch-producer.ts';
import { manyPartitionOffsets, type PartitionOffsets } from '../kafka/partition-offsets.ts';
import { topicLimits } from '../kafka/topic-settings.ts';
import { taskLogger } from '../observability/logger.ts';
import type { Metrics } from '../observability/metrics.ts';
import type { Tracing } from '../observability/tracing.ts';
import type { BroadcastTable } from '../state/broadcast-table.ts';
import type { StateIdentity } from '../state/contract.ts';
import { MemoryBackend } from '../state/memory-backend.ts';
import { storesOf, TaskState } from '../state/task-state.ts';
import { groupOf, inputsOf, type SubTopology, sinksOf, sourcesOf } from '../topology/graph.ts';
import { type RestoreProgress, restoreFromLog } from './changelog-restore.ts';
import { type CommittedInput, inputPosition, type SourcePosition } from './input-position.ts';
import type { StateService } from './state-service.ts';
import { StreamTask } from './stream-task.ts';
import { readTables } from './table-start.ts';

export interface TaskOpenerOptions {
  readonly pipeline: string;
  readonly sub: SubTopology;
  readonly client: KafkaClient;
  readonly codec: TopicCodec;
  readonly logger: Logger;
  readonly tables: ReadonlyMap<TopicName, BroadcastTable<unknown>>;
  readonly states: StateService;
  readonly metrics?: Metrics | undefined;
  readonly tracing?: Tracing | undefined;
  /** Tasks that write a repartition topic. */
  readonly channelsOf: (topic: string) => number;
  /** Partitions of each source topic: a task has no part of a topic with fewer partitions. */
  readonly partitionsOf: (topic: string) => number;
}

/** A task to open. */
export interface OpenRequest {
  readonly partition: number;
  /** The partition went away, or the worker stops: nobody is fenced any more, and a restore ends where it is. */
  readonly signal: AbortSignal;
  /** Called now and then while state is restored. */
  readonly onProgress: (progress: RestoreProgress) => void;
}

/** What is committed of the tasks that are opened together. */
interface Committed {
  /** By partition. */
  readonly inputs: ReadonlyMap<number, readonly CommittedInput[]>;
  /** Offsets of the changelog, by partition; empty where there is no state. */
  readonly logs: ReadonlyMap<number, PartitionOffsets>;
}

/**
 * Opens tasks: fences earlier owners, and only then reads what they committed, positions first, then the state behind
 * them: the local store or a checkpoint, and the changelog's tail.
 */
export class TaskOpener {
  readonly #options: TaskOpenerOptions;
  readonly #changelog: string;
  readonly #group: string;
  #limits: Promise<ReadonlyMap<string, number>> | undefined;

  constructor(options: TaskOpenerOptions) {
    this.#options = options;
    this.#changelog = changelogOf(options.pipeline, options.sub.name);
    this.#group = groupOf(options.pipeline, options.sub.name);
  }

  /**
   * Opens tasks at the same time; what they have committed is asked for together. Each is there, or fails, by itself.
   * @returns by partition. Rejected with the signal's reason, or a ReachflowError: `KAFKA_UNAVAILABLE`, `STATE_LOCKED`,
   *   `INPUT_REPLACED`, and what a restore and `StreamTask.start` throw.
   */
  open(requests: readonly OpenRequest[]): ReadonlyMap<number, Promise<StreamTask>> {
    const fencing = requests.map((request) => this.#fence(request));
    const committed = Promise.allSettled(fencing).then((results) =>
      this.#committed(
        requests.flatMap(({ partition }, i) =>
          results[i]?.status === 'fulfilled' ? [partition] : [],
        ),
      ),
    );
    // Whoever was fenced for awaits it, too; it may be nobody.
    committed.catch(() => undefined);
    return new Map(
      fencing.flatMap((producer, i) => {
        const request = requests[i];
        if (request === undefined) return [];
        return [[request.partition, this.#open(request, producer, committed)] as const];
      }),
    );
  }

  async #fence({ partition, signal }: OpenRequest): Promise<EpochProducer> {
    const { client, sub } = this.#options;
    const limits = await this.#outputLimits();
    // Who holds the partition by now must not be fenced by who held it.
    signal.throwIfAborted();
    const producer = await EpochProducer.open(client, `${this.#group}.${partition}`, { limits });
    try {
      await producer.prepare([
        ...sinksOf(sub).map(({ topic }) => topic),
        ...(sub.stateful ? [this.#changelog] : []),
      ]);
      return producer;
    } catch (error) {
      await producer.close();
      throw error;
    }
  }

  /** What the topics that tasks write take, as it was when the first of them was opened. */
  #outputLimits(): Promise<ReadonlyMap<string, number>> {
    this.#limits ??= topicLimits(this.#options.client, this.#outputs()).catch((error: unknown) => {
      this.#limits = undefined;
      throw error;
    });
    return this.#limits;
  }

  /** Topics that tasks write, changelog apart. */
  #outputs(): string[] {
    const { sub, pipeline } = this.#options;
    return [
      ...new Set([
        ...sinksOf(sub).map(({ topic }) => topic),
        ...sourcesOf(sub).map(({ topic }) => dlqOf(topic, pipeline)),
      ]),
    ];
  }

  async #committed(partitions: readonly number[]): Promise<Committed> {
    if (partitions.length === 0) return { inputs: new Map(), logs: new Map() };
    const [inputs, logs] = await Promise.all([this.#inputs(partitions), this.#logs(partitions)]);
    return { inputs, logs };
  }

  async #inputs(partitions: readonly number[]): Promise<Map<number, CommittedInput[]>> {
    const { client, sub, pipeline, partitionsOf } = this.#options;
    const result = new Map(partitions.map((partition) => [partition, [] as CommittedInput[]]));
    await Promise.all(
      inputsOf(pipeline, sub).map(async ({ topic }) => {
        const own = partitions.filter((partition) => partition < partitionsOf(topic));
        const [committed, offsets] = await Promise.all([
          committedOffsets(client, this.#group, topic),
          manyPartitionOffsets(
            client,
            own.map((partition) => ({ topic, partition })),
          ),
        ]);
        for (const [i, partition] of own.entries()) {
          const { low = 0n, high = 0n } = offsets[i] ?? {};
          const input = { topic, partition, committed: committed.get(partition), low, high };
          result.get(partition)?.push(input);
        }
      }),
    );
    return result;
  }

  async #logs(partitions: readonly number[]): Promise<Map<number, PartitionOffsets>> {
    const { client, sub } = this.#options;
    if (!sub.stateful) return new Map();
    const offsets = await manyPartitionOffsets(
      client,
      partitions.map((partition) => ({ topic: this.#changelog, partition })),
    );
    return new Map(
      offsets.flatMap((one, i) => {
        const partition = partitions[i];
        return partition === undefined ? [] : [[partition, one] as const];
      }),
    );
  }

  identity(partition: number): StateIdentity {
    const { client, pipeline, sub } = this.#options;
    const namespace = client.namespaceOf(groupOf(pipeline, sub.name));
    return { namespace, pipeline, subTopology: sub.name, partition };
  }

  async #open(
    request: OpenRequest,
    fencing: Promise<EpochProducer>,
    committed: Promise<Committed>,
  ): Promise<StreamTask> {
    const producer = await fencing;
    const { logger, pipeline, sub } = this.#options;
    const { partition, signal } = request;
    let opened: StreamTask | undefined;
    const ownLogger = taskLogger(logger, { pipeline, subTopology: sub.name, partition }, () =>
      opened === undefined ? {} : { epoch: opened.counters.epochs + 1 },
    );
    try {
      let { inputs, logs } = await committed;
      signal.throwIfAborted();
      if (isUndecided(logs.get(partition))) {
        ownLogger.warn('an earlier owner of this task has left a transaction open: it is aborted');
        ({ inputs, logs } = await this.#discardLeftovers(producer, partition));
        signal.throwIfAborted();
      }
      const sources = (inputs.get(partition) ?? []).map((input) =>
        inputPosition(input, this.#group, ownLogger),
      );
      const task = await this.#task(request, producer, ownLogger, sources, logs.get(partition));
      opened = task;
      await this.#start(task, sources, signal);
      return task;
    } catch (error) {
      await (opened ?? producer).close();
      throw error;
    }
  }

  /**
   * Nobody but its task writes a changelog's partition: what is undecided there after fencing is left over, and so may be
   * what the same transaction wrote elsewhere.
   * @returns what is committed, read anew. @throws ReachflowError `TRANSACTION_HANGS` (retry: backoff), or as `commit`.
   */
  async #discardLeftovers(producer: EpochProducer, partition: number): Promise<Committed> {
    const outputs = this.#outputs();
    await producer.prepare(outputs);
    const everywhere = outputs.flatMap((topic) =>
      Array.from({ length: producer.partitionCount(topic) }, (_, at) => ({ topic, partition: at })),
    );
    const own = { topic: this.#changelog, partition };
    await producer.discardLeftovers([own, ...everywhere], this.#group);
    const committed = await this.#committed([partition]);
    if (!isUndecided(committed.logs.get(partition))) return committed;
    throw new ReachflowError(
      `${this.#changelog}[${partition}] has a transaction that does not end`,
      {
        code: 'TRANSACTION_HANGS',
        domain: 'external',
        retry: 'backoff',
        hint: 'See KIP-664: `kafka-transactions.sh find-hanging` finds it, `abort` ends it.',
      },
    );
  }

  /** With its state restored; what it is not given stays the caller's to close. */
  async #task(
    { partition, signal, onProgress }: OpenRequest,
    producer: EpochProducer,
    logger: Logger,
    sources: readonly SourcePosition[],
    log: PartitionOffsets | undefined,
  ): Promise<StreamTask> {
    const { sub, client, pipeline } = this.#options;
    const metrics = this.#options.metrics?.task(pipeline, sub.name);
    const topic = this.#changelog;
    const state = await this.#state(partition, log, signal);
    try {
      if (log !== undefined) {
        const where = { client, topic, partition };
        await restoreFromLog({ ...where, state, logger, metrics, onProgress, signal }, log);
      }
    } catch (error) {
      // What was restored so far stays on the disk: the next attempt goes on there.
      await state.close();
      throw error;
    }
    return new StreamTask({
      ...this.#options,
      logger,
      partition,
      producer,
      state,
      positions: new Map(sources.map(({ topic: source, position }) => [source, position])),
      maxEpochRecords: client.config.maxEpochRecords,
      now: Date.now,
      metrics,
      onBoundary: (offset) =>
        deleteRecordsBefore(client, topic, partition, offset).catch((error: unknown) => {
          logger.warn({ error: errorMessage(error) }, 'changelog not shortened yet');
        }),
    });
  }

  #state(
    partition: number,
    log: PartitionOffsets | undefined,
    signal: AbortSignal,
  ): Promise<TaskState> {
    const { states, sub } = this.#options;
    const specs = [...new Set(sub.nodes.flatMap(({ stores }) => stores))];
    const identity = this.identity(partition);
    if (log !== undefined) return states.open(identity, specs, log, signal);
    const backend = new MemoryBackend({ identity, stores: storesOf(specs) });
    return Promise.resolve(new TaskState(specs, backend));
  }

  async #start(
    task: StreamTask,
    sources: readonly SourcePosition[],
    signal: AbortSignal,
  ): Promise<void> {
    await task.start();
    for (const { topic, atEnd } of sources) if (atEnd) task.atEnd(topic);
    await readTables(this.#options.client, this.#options.sub, task, signal);
    signal.throwIfAborted();
  }
}

function isUndecided(log: PartitionOffsets | undefined): boolean {
  return log !== undefined && log.lastStable < log.high;
}
