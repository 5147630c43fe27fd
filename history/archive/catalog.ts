import type { CheckpointStorage } from '../../runtime/checkpoint/storage.ts';
import { ReachflowError } from '../../runtime/errors.ts';
import {
  type ArchivePlace,
  idOfSegment,
  idPrefix,
  partitionPrefix,
  type SegmentName,
  segmentKey,
  segmentOf,
  topicPrefix,
} from './layout.ts';
import { MAX_MANIFEST_BYTES, type Manifest, parseManifest } from './manifest.ts';

/** Names of the segments of a partition, each beginning where the one before ended, or behind a gap. */
export async function segmentNames(
  storage: CheckpointStorage,
  place: ArchivePlace,
): Promise<readonly SegmentName[]> {
  const objects = await storage.list(partitionPrefix(place));
  return chain(objects.flatMap(({ key }) => segmentOf(key) ?? []));
}

/**
 * Of segments that overlap, as two archivers at the same time make them, those that reach furthest; what another one
 * has already is left out.
 */
export function chain(names: readonly SegmentName[]): readonly SegmentName[] {
  const sorted = names.toSorted(
    (a, b) => compare(a.from, b.from) || compare(b.to, a.to) || (a.digest < b.digest ? -1 : 1),
  );
  const chosen: SegmentName[] = [];
  let end = -1n;
  for (const name of sorted) {
    if (name.from < end) continue;
    chosen.push(name);
    end = name.to;
  }
  return chosen;
}

function compare(a: bigint, b: bigint): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** @throws ReachflowError `ARCHIVE_MANIFEST_INVALID`, or as the storage does. */
export async function readManifest(
  storage: CheckpointStorage,
  place: ArchivePlace,
  name: SegmentName,
): Promise<Manifest> {
  const key = `${segmentKey(place, name)}.json`;
  const bytes = await storage.getBytes(key, MAX_MANIFEST_BYTES);
  if (bytes === undefined) throw gone(key);
  const manifest = parseManifest(bytes, key);
  const { topic, partition, from, to } = manifest;
  const isOwn = topic === place.topic && partition === place.partition;
  if (isOwn && from === String(name.from) && to === String(name.to)) return manifest;
  throw gone(key);
}

/** Topics of a namespace that the archive has. */
export function archivedTopics(storage: CheckpointStorage, namespace: string): Promise<string[]> {
  return storage.directories(topicPrefix(namespace));
}

/** Ids of the topics that had a name, one for each time that it was made anew. */
export async function archivedIds(
  storage: CheckpointStorage,
  namespace: string,
  topic: string,
): Promise<(string | undefined)[]> {
  return (await storage.directories(topicPrefix(namespace, topic))).map(idOfSegment);
}

/** Partitions of a topic that the archive has. */
export async function archivedPartitions(
  storage: CheckpointStorage,
  of: Omit<ArchivePlace, 'partition'>,
): Promise<number[]> {
  const names = await storage.directories(idPrefix(of));
  return names
    .filter((name) => /^\d{1,9}$/.test(name))
    .map(Number)
    .sort((a, b) => a - b);
}

function gone(key: string): ReachflowError {
  return new ReachflowError(`${key} is not there, or is a manifest of another segment`, {
    code: 'ARCHIVE_MANIFEST_INVALID',
    domain: 'external',
    hint: 'Was the archive pruned, or files moved, meanwhile?',
  });
}
