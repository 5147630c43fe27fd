import { pino } from 'pino';
import type { TopicCodec } from '../../schemas/codec.ts';
import { changelogOf, type TopicName } from '../../schemas/topics.ts';
import type { Tracing } from '../observability/tracing.ts';
import type { StateBackend } from '../state/backend.ts';
import type { BroadcastTable } from '../state/broadcast-table.ts';
import { MemoryBackend } from '../state/memory-backend.ts';
import { storesOf, TaskState, type TaskStateOptions } from '../state/task-state.ts';
import { StreamTask } from '../task/stream-task.ts';
import { groupOf, inputsOf, type SubTopology, sourcesOf } from '../topology/graph.ts';
import type { CrashHook, MemoryLog } from './memory-log.ts';
import { MemoryProducer } from './memory-producer.ts';

export interface MemoryTaskOptions {
  readonly log: MemoryLog;
  readonly codec: TopicCodec;
  readonly pipeline: string;
  readonly sub: SubTopology;
  readonly partition: number;
  readonly tables: ReadonlyMap<TopicName, BroadcastTable<unknown>>;
  readonly channelsOf: (topic: string) => number;
  /** ms since the epoch. */
  readonly now: () => number;
  readonly maxEpochRecords: number;
  /** What is left of the task's state where it is opened: nothing by default. */
  readonly backend?: StateBackend;
  readonly state?: TaskStateOptions;
  readonly hook?: CrashHook;
  readonly tracing?: Tracing;
  /** Bytes of the largest record that a topic takes; any by default. */
  readonly limits?: ReadonlyMap<string, number>;
  /** Deletes the changelog before an offset; by default that is done at once. */
  readonly onBoundary?: (offset: bigint) => Promise<void>;
}

const SILENT = pino({ level: 'silent' });

/**
 * Opens a task over a log in memory, in the order of production: fence, read positions, restore the state, start, read
 * tables. @throws what the hook throws, and as `StreamTask.run`.
 */
export async function openMemoryTask(options: MemoryTaskOptions): Promise<StreamTask> {
  const { log, pipeline, sub, partition, hook } = options;
  const group = groupOf(pipeline, sub.name);
  const id = `${group}.${partition}`;
  const producer = await MemoryProducer.open(log, id, hook, options.limits);
  const positions = new Map<string, bigint>();
  for (const { topic } of inputsOf(pipeline, sub)) {
    if (partition >= log.partitionCount(topic)) continue;
    positions.set(topic, log.committed(group, topic, partition) ?? log.low(topic, partition));
  }
  await hook?.('restore', id);
  const changelog = changelogOf(pipeline, sub.name);
  const state = restoreState(options, changelog);
  const task = new StreamTask({
    ...options,
    producer,
    state,
    positions,
    logger: SILENT,
    onBoundary: (offset) => {
      if (options.onBoundary !== undefined) return options.onBoundary(offset);
      return log.deleteBefore(changelog, partition, offset);
    },
  });
  await task.start();
  for (const source of sourcesOf(sub)) {
    if (source.kind === 'topic' && source.bootstrap) await feed(task, log, source.topic);
  }
  return task;
}

/** Where a task can keep its state, with nothing in it. */
export function emptyBackend(pipeline: string, sub: SubTopology, partition: number): MemoryBackend {
  return new MemoryBackend({
    identity: { namespace: '', pipeline, subTopology: sub.name, partition },
    stores: storesOf(specsOf(sub)),
  });
}

function specsOf({ nodes }: SubTopology) {
  return [...new Set(nodes.flatMap(({ stores }) => stores))];
}

/** The state as the changelog has it, from what the backend holds already. */
function restoreState(options: MemoryTaskOptions, changelog: string): TaskState {
  const { log, pipeline, sub, partition, now } = options;
  const backend = options.backend ?? emptyBackend(pipeline, sub, partition);
  const state = new TaskState(specsOf(sub), backend, { changelog, now, ...options.state });
  if (!sub.stateful) return state;
  const end = log.lastStable(changelog, partition);
  const from = state.startRestore(log.low(changelog, partition), end);
  for (const { value, offset } of log.read(changelog, partition, from).records)
    if (value !== null) state.restore(value, offset + 1n);
  state.endRestore();
  return state;
}

/**
 * Lets a task process what its partition of a topic has for it, at most `limit` records. Returns whether there was
 * anything; false while a record waits to be tried again. @throws as `StreamTask.run`.
 */
export async function feed(
  task: StreamTask,
  log: MemoryLog,
  topic: string,
  limit?: number,
): Promise<boolean> {
  const position = task.position(topic);
  if (position === undefined || task.waitsUntil !== undefined) return false;
  const { records, nextOffset, atEnd } = log.read(topic, task.partition, position, limit);
  if (records.length > 0) {
    const isDone = await task.run({ topic, records, nextOffset, atEnd }, () => Promise.resolve());
    return isDone || task.position(topic) !== position;
  }
  if (nextOffset > position) {
    await task.skipTo(topic, nextOffset);
    return true;
  }
  if (atEnd) task.atEnd(topic);
  return false;
}
