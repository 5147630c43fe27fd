import type { StateIdentity } from '../state/contract.ts';
import { type CheckpointEntry, checkpointsOf } from './catalog.ts';
import { taskPrefix } from './layout.ts';
import type { CheckpointStorage } from './storage.ts';
import { removeCheckpoint } from './write.ts';

/** What has no manifest and did not grow for so long is no upload any more, ms. */
export const ORPHAN_MS = 3_600_000;

export interface PrunePolicy {
  /** Complete checkpoints that stay. */
  readonly keep: number;
  /** Changelog offset that the task has just written a checkpoint of. */
  readonly reached: bigint;
  /** ms. */
  readonly now: number;
}

/**
 * Which checkpoints of one task to remove. The newest `keep` complete ones stay, and what may be an upload under way.
 * A checkpoint that is ahead of its task is of an earlier topic of the same name, as a task that has begun is never
 * behind one of its own: it would hide the task's own, and be mistaken for one of them later. It goes after a while
 * only: for a former owner, which was paused and prunes late, those of its successor are ahead.
 */
export function selectPruned(
  entries: readonly CheckpointEntry[],
  { keep, reached, now }: PrunePolicy,
): CheckpointEntry[] {
  const newestFirst = [...entries].sort((a, b) => (a.id < b.id ? 1 : -1));
  const pruned: CheckpointEntry[] = [];
  let kept = 0;
  for (const entry of newestFirst) {
    if (entry.state === 'incomplete') {
      if (now - entry.modifiedMs > ORPHAN_MS) pruned.push(entry);
    } else if (entry.changelogOffset > reached) {
      if (now - entry.modifiedMs > ORPHAN_MS) pruned.push(entry);
    } else if (kept >= keep) {
      pruned.push(entry);
    } else if (entry.state === 'complete') {
      kept += 1;
    }
  }
  return pruned;
}

/**
 * Removes what a task's new checkpoint has made redundant.
 * @returns how many checkpoints and remains were removed, and which are broken, to be reported.
 * @throws ReachflowError as the storage does.
 */
export async function pruneCheckpoints(
  storage: CheckpointStorage,
  identity: StateIdentity,
  policy: PrunePolicy,
): Promise<{ readonly removed: number; readonly broken: readonly CheckpointEntry[] }> {
  const entries = await checkpointsOf(storage, identity);
  const pruned = selectPruned(entries, policy);
  // The oldest first: cut off at any point, the newest are there.
  for (const { prefix } of pruned.toReversed()) await removeCheckpoint(storage, prefix);
  await storage.removeUnfinished(taskPrefix(identity), policy.now - ORPHAN_MS);
  return {
    removed: pruned.length,
    broken: entries.filter((entry) => entry.state === 'broken' && !pruned.includes(entry)),
  };
}
