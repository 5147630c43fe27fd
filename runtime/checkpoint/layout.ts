import { randomBytes } from 'node:crypto';
import type { StateIdentity } from '../state/contract.ts';

/** The file that makes the files beside it a checkpoint. */
export const MANIFEST = 'manifest.json';

/** Stands for the empty namespace. */
const NO_NAMESPACE = '_';
const OFFSET_DIGITS = 20;
const ID = /^(\d{20})-[0-9a-f]{8}$/;

/** A checkpoint's place, as its key tells it. */
export interface CheckpointPlace {
  readonly identity: StateIdentity;
  readonly id: string;
  /** Next offset of the changelog, from the id. */
  readonly changelogOffset: bigint;
}

/** A name as a path segment: what is no letter, digit, `_` or `-` is escaped, so that names cannot leave their place. */
function segmentOf(name: string): string {
  if (name === '') throw new Error('a name of a checkpoint is empty');
  return encodeURIComponent(name).replaceAll(
    /[!'()*.~]/g,
    (char) => `%${char.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`,
  );
}

function nameOf(segment: string): string | undefined {
  try {
    const name = decodeURIComponent(segment);
    return name !== '' && segmentOf(name) === segment ? name : undefined;
  } catch {
    return undefined;
  }
}

function namespaceSegment(namespace: string): string {
  if (namespace === '') return NO_NAMESPACE;
  return namespace === NO_NAMESPACE ? '%5F' : segmentOf(namespace);
}

function namespaceOf(segment: string): string | undefined {
  if (segment === NO_NAMESPACE) return '';
  return segment === '%5F' ? NO_NAMESPACE : nameOf(segment);
}

/** Prefix of everything that an installation has. */
export function namespacePrefix(namespace: string): string {
  return `${namespaceSegment(namespace)}/`;
}

/** Prefix of a pipeline's checkpoints. */
export function pipelinePrefix(namespace: string, pipeline: string): string {
  return `${namespacePrefix(namespace)}${segmentOf(pipeline)}/`;
}

/** Prefix of a task's checkpoints. */
export function taskPrefix(identity: StateIdentity): string {
  const { namespace, pipeline, subTopology, partition } = identity;
  return `${pipelinePrefix(namespace, pipeline)}${segmentOf(subTopology)}/${partition}/`;
}

/** Prefix of one checkpoint. */
export function checkpointPrefix(identity: StateIdentity, id: string): string {
  return `${taskPrefix(identity)}${id}/`;
}

/** A new id: ids of a task sort by the changelog's next offset, and no two attempts share one. */
export function newCheckpointId(changelogOffset: bigint): string {
  return `${String(changelogOffset).padStart(OFFSET_DIGITS, '0')}-${randomBytes(4).toString('hex')}`;
}

/** What an object's key says; undefined when it is not in a checkpoint. `file` is its name there. */
export function parseKey(
  key: string,
): { readonly place: CheckpointPlace; readonly file: string } | undefined {
  const [first, second, third, fourth, id, file, ...more] = key.split('/');
  if (id === undefined || file === undefined || more.length > 0) return undefined;
  const namespace = namespaceOf(first ?? '');
  const pipeline = nameOf(second ?? '');
  const subTopology = nameOf(third ?? '');
  const offset = ID.exec(id)?.[1];
  if (namespace === undefined || pipeline === undefined || subTopology === undefined) {
    return undefined;
  }
  if (offset === undefined || !/^\d{1,9}$/.test(fourth ?? '')) return undefined;
  const identity = { namespace, pipeline, subTopology, partition: Number(fourth) };
  return { place: { identity, id, changelogOffset: BigInt(offset) }, file };
}

/** A task as people write it. */
export function taskName({ pipeline, subTopology, partition }: StateIdentity): string {
  return `${pipeline}/${subTopology}/${partition}`;
}

/** Are they the same task? */
export function sameTask(a: StateIdentity, b: StateIdentity): boolean {
  return taskPrefix(a) === taskPrefix(b);
}
