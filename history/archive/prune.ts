import type { CheckpointStorage } from '../../runtime/checkpoint/storage.ts';
import { readManifest, segmentNames } from './catalog.ts';
import { type ArchivePlace, partitionPrefix, segmentKey, segmentOf } from './layout.ts';

const DAY_MS = 86_400_000;
/** What has no manifest after so long belongs to a run that was killed. */
const ORPHAN_MS = DAY_MS;

export interface PruneOptions {
  readonly place: ArchivePlace;
  /** Segments whose newest record is older are removed; 0 removes none. */
  readonly retentionDays: number;
  /** ms since the epoch. */
  readonly now: number;
  /** Counts only. */
  readonly dryRun?: boolean;
}

/** What was removed, or would be. */
export interface Pruned {
  readonly segments: number;
  /** Objects that no manifest names. */
  readonly orphans: number;
  readonly bytes: number;
}

/**
 * Removes segments past their retention, oldest first, and what killed runs left. The manifest goes first: a segment is there
 * as a whole or not at all. Those behind one that is kept are kept.
 * @throws ReachflowError as the storage does.
 */
export async function pruneArchive(
  storage: CheckpointStorage,
  { place, retentionDays, now, dryRun = false }: PruneOptions,
): Promise<Pruned> {
  let segments = 0;
  const removed = new Set<string>();
  for (const name of retentionDays === 0 ? [] : await segmentNames(storage, place)) {
    const { maxTimestamp } = await readManifest(storage, place, name);
    if (maxTimestamp + retentionDays * DAY_MS > now) break;
    segments += 1;
    const key = segmentKey(place, name);
    removed.add(key);
    if (!dryRun) await storage.remove(`${key}.json`);
  }
  const objects = await storage.list(partitionPrefix(place));
  const manifests = new Set(
    objects.flatMap(({ key }) => (segmentOf(key) === undefined ? [] : [stemOf(key)])),
  );
  let [orphans, bytes] = [0, 0];
  for (const { key, bytes: size, modifiedMs } of objects) {
    const stem = stemOf(key);
    const isRemoved = removed.has(stem);
    if (!isRemoved && (manifests.has(stem) || modifiedMs + ORPHAN_MS > now)) continue;
    if (!isRemoved) orphans += 1;
    bytes += size;
    if (!dryRun && segmentOf(key) === undefined) await storage.remove(key);
  }
  return { segments, orphans, bytes };
}

function stemOf(key: string): string {
  return key.slice(0, key.lastIndexOf('.'));
}
