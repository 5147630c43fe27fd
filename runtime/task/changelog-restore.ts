import type { Logger } from 'pino';
import { ReachflowError } from '../errors.ts';
import type { KafkaClient } from '../kafka/client.ts';
import { type PartitionOffsets, partitionOffsets } from '../kafka/partition-offsets.ts';
import { readPartition } from '../kafka/partition-reader.ts';
import type { TaskMetrics } from '../observability/task-metrics.ts';
import type { TaskState } from '../state/task-state.ts';
import { isOfLog } from './lineage.ts';

/** How far a restore has come, for people and metrics. */
export interface RestoreProgress {
  readonly partition: number;
  readonly records: number;
  readonly bytes: number;
  /** Offsets of the changelog's tail that were read, and there are. */
  readonly done: number;
  readonly total: number;
}

export interface ChangelogRestore {
  readonly client: KafkaClient;
  /** Logical name of the changelog. */
  readonly topic: string;
  readonly partition: number;
  readonly state: TaskState;
  readonly logger: Logger;
  readonly metrics: TaskMetrics | undefined;
  readonly onProgress: (progress: RestoreProgress) => void;
  /** Ends it at the next record batch; what was read until then stays in the state. */
  readonly signal: AbortSignal;
}

/** How often a restore says how far it is, ms. */
const PROGRESS_MS = 2_000;
/** How often the log may be shortened under a restore: its last owner's deletions may still be on their way. */
const MAX_STARTS = 3;

/**
 * Brings a task's state to the end of its changelog: from where the state is, or from the log's start when the log does
 * not continue it.
 * @param log offsets of the changelog, read after its earlier owner was fenced.
 * @throws the signal's reason, and ReachflowError as `readPartition` and `TaskState.restore` do.
 */
export async function restoreFromLog(
  restore: ChangelogRestore,
  log: PartitionOffsets,
): Promise<void> {
  const { client, topic, partition, state, logger } = restore;
  let offsets = log;
  for (let start = 1; ; start += 1) {
    try {
      return await bringUp(restore, offsets);
    } catch (error) {
      if (!hasCode(error, 'OFFSET_OUT_OF_RANGE') || start === MAX_STARTS) throw error;
      // What was deleted is redundant (SPEC.md, S4): the log has everything from its new start on.
      logger.info({ start }, 'the changelog was shortened meanwhile, looking for its start again');
      state.flush();
      offsets = await partitionOffsets(client, topic, partition);
    }
  }
}

async function bringUp(restore: ChangelogRestore, log: PartitionOffsets): Promise<void> {
  const { client, state, logger } = restore;
  if (state.position !== undefined && !(await isOfLog(state, client, restore, log))) {
    logger.warn('local state is not of this changelog, it is restored');
    state.clear();
  }
  const hadState = state.position !== undefined;
  try {
    await readTail(restore, log);
  } catch (error) {
    if (!hadState || !hasCode(error, 'CHANGELOG_CORRUPT')) throw error;
    logger.warn({ error: error.message }, 'the changelog does not continue the local state');
    state.clear();
    await readTail(restore, log);
  }
}

function hasCode(error: unknown, code: string): error is ReachflowError {
  return error instanceof ReachflowError && error.code === code;
}

async function readTail(
  { client, topic, partition, state, metrics, onProgress, signal }: ChangelogRestore,
  { low, lastStable }: PartitionOffsets,
): Promise<void> {
  const from = state.startRestore(low, lastStable);
  const total = Number(lastStable - from);
  let records = 0;
  let bytes = 0;
  let said = Date.now();
  await readPartition(client, {
    topic,
    partition,
    from,
    to: lastStable,
    signal,
    onRecords: (segments, nextOffset) => {
      metrics?.restored(segments.length);
      for (const { value, offset } of segments) {
        if (value === null) continue;
        records += 1;
        bytes += value.length;
        state.restore(value, offset + 1n);
      }
      if (Date.now() - said < PROGRESS_MS) return;
      said = Date.now();
      onProgress({ partition, records, bytes, done: Number(nextOffset - from), total });
    },
  });
  state.endRestore();
  onProgress({ partition, records, bytes, done: total, total });
}
