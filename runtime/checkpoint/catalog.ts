import PQueue from 'p-queue';
import { errorMessage, ReachflowError } from '../errors.ts';
import type { StateIdentity } from '../state/contract.ts';
import {
  type CheckpointPlace,
  checkpointPrefix,
  MANIFEST,
  namespacePrefix,
  parseKey,
  pipelinePrefix,
  taskPrefix,
} from './layout.ts';
import { type CheckpointManifest, decodeManifest, MAX_MANIFEST_BYTES } from './manifest.ts';
import type { CheckpointStorage, StoredObject } from './storage.ts';

interface Listed extends CheckpointPlace {
  /** With `/` at its end; all its objects begin with it. */
  readonly prefix: string;
  /** Of all its objects. */
  readonly bytes: number;
  /** Of the newest of its objects, ms. */
  readonly modifiedMs: number;
}

/**
 * What a storage has of one checkpoint. `complete`: its manifest is sound and its files have their sizes; what is in
 * them was not looked at. `incomplete`: it has no manifest, as it is being written, or its writer ended. `broken`: it
 * can never be restored, or not by this Reachflow; `problem` says why.
 */
export type CheckpointEntry = Listed &
  (
    | { readonly state: 'complete'; readonly manifest: CheckpointManifest }
    | { readonly state: 'incomplete' }
    | { readonly state: 'broken'; readonly problem: ReachflowError }
  );

/** A checkpoint that can be restored. */
export type CompleteCheckpoint = Extract<CheckpointEntry, { readonly state: 'complete' }>;

const MANIFESTS_AT_ONCE = 8;

/** Checkpoints of one task, the newest first. @throws ReachflowError as the storage does. */
export function checkpointsOf(
  storage: CheckpointStorage,
  identity: StateIdentity,
): Promise<CheckpointEntry[]> {
  return entriesBelow(storage, taskPrefix(identity));
}

/** Checkpoints of all tasks of an installation, or of one pipeline: by task, the newest first. @throws as the storage does. */
export function allCheckpoints(
  storage: CheckpointStorage,
  namespace: string,
  pipeline?: string,
): Promise<CheckpointEntry[]> {
  return entriesBelow(
    storage,
    pipeline === undefined ? namespacePrefix(namespace) : pipelinePrefix(namespace, pipeline),
  );
}

async function entriesBelow(
  storage: CheckpointStorage,
  prefix: string,
): Promise<CheckpointEntry[]> {
  const byPrefix = new Map<string, { place: CheckpointPlace; objects: StoredObject[] }>();
  for (const object of await storage.list(prefix)) {
    const place = parseKey(object.key)?.place;
    if (place === undefined) continue;
    const of = checkpointPrefix(place.identity, place.id);
    const known = byPrefix.get(of);
    if (known === undefined) byPrefix.set(of, { place, objects: [object] });
    else known.objects.push(object);
  }
  const queue = new PQueue({ concurrency: MANIFESTS_AT_ONCE });
  const entries = await queue.addAll(
    [...byPrefix].map(
      ([of, { place, objects }]) =>
        () =>
          entryOf(storage, of, place, objects),
    ),
  );
  return entries.sort(byTaskNewestFirst);
}

function byTaskNewestFirst(a: CheckpointEntry, b: CheckpointEntry): number {
  const [left, right] = [a.identity, b.identity];
  return (
    compare(left.pipeline, right.pipeline) ||
    compare(left.subTopology, right.subTopology) ||
    left.partition - right.partition ||
    compare(b.id, a.id)
  );
}

function compare(a: string, b: string): number {
  return a === b ? 0 : a < b ? -1 : 1;
}

async function entryOf(
  storage: CheckpointStorage,
  prefix: string,
  place: CheckpointPlace,
  objects: readonly StoredObject[],
): Promise<CheckpointEntry> {
  const listed: Listed = {
    ...place,
    prefix,
    bytes: objects.reduce((sum, { bytes }) => sum + bytes, 0),
    modifiedMs: Math.max(...objects.map(({ modifiedMs }) => modifiedMs)),
  };
  if (!objects.some(({ key }) => key === `${prefix}${MANIFEST}`)) {
    return { ...listed, state: 'incomplete' };
  }
  try {
    const bytes = await storage.getBytes(`${prefix}${MANIFEST}`, MAX_MANIFEST_BYTES);
    // Removed since it was listed.
    if (bytes === undefined) return { ...listed, state: 'incomplete' };
    const manifest = decodeManifest(bytes, place);
    checkSizes(manifest, prefix, objects);
    return { ...listed, state: 'complete', manifest };
  } catch (error) {
    if (!(error instanceof ReachflowError) || error.retry === 'backoff') throw error;
    return { ...listed, state: 'broken', problem: error };
  }
}

function checkSizes(
  { files }: CheckpointManifest,
  prefix: string,
  objects: readonly StoredObject[],
): void {
  const sizes = new Map(objects.map(({ key, bytes }) => [key, bytes]));
  for (const { name, bytes } of files) {
    const stored = sizes.get(`${prefix}${name}`);
    if (stored !== bytes) {
      throw fileProblem(
        prefix,
        name,
        stored === undefined ? 'is missing' : `has ${stored} bytes instead of ${bytes}`,
      );
    }
  }
}

/** A file of a checkpoint is not what its manifest says. */
export function fileProblem(prefix: string, name: string, what: string): ReachflowError {
  return new ReachflowError(`${name} of checkpoint ${prefix.slice(0, -1)} ${what}`, {
    code: 'CHECKPOINT_CORRUPT',
    domain: 'external',
    hint: 'It is passed over; an older checkpoint, or the changelog, has the state, too.',
  });
}

/** Why a checkpoint is not complete, in a few words; undefined when it is. */
export function problemOf(entry: CheckpointEntry): string | undefined {
  if (entry.state === 'complete') return undefined;
  return entry.state === 'incomplete' ? 'it has no manifest' : errorMessage(entry.problem);
}
