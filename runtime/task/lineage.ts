import { randomBytes } from 'node:crypto';
import type { KafkaClient } from '../kafka/client.ts';
import type { PartitionOffsets } from '../kafka/partition-offsets.ts';
import { readPartition } from '../kafka/partition-reader.ts';
import type { TaskState } from '../state/task-state.ts';

/**
 * A changelog partition and the states made from it have a lineage: random bytes, in the state's metadata and in the
 * key of each changelog record. A local state or a checkpoint of a topic that was deleted and made anew (or of another
 * cluster) is known by it, although offsets and epochs may fit.
 */
const META = 'lineage';
const BYTES = 12;

/** The state's lineage; given now when it has none. */
export function lineageOf(state: TaskState): Buffer {
  const known = state.getMeta(META);
  if (known !== undefined) return known;
  const lineage = randomBytes(BYTES);
  state.setMeta(META, lineage);
  return lineage;
}

/** Whether a state that has a position was made from this changelog. */
export async function isOfLog(
  state: TaskState,
  client: KafkaClient,
  changelog: { readonly topic: string; readonly partition: number },
  { low, lastStable }: PartitionOffsets,
): Promise<boolean> {
  const { position } = state;
  const lineage = state.getMeta(META);
  if (position === undefined || lineage === undefined) return false;
  // Its last segment, or when that was deleted, what came next.
  const from = position - 1n >= low ? position - 1n : low;
  if (from >= lastStable) return false;
  const to = from + 3n < lastStable ? from + 3n : lastStable;
  let key: Buffer | null | undefined;
  await readPartition(client, {
    ...changelog,
    from,
    to,
    onRecords: ([first]) => {
      key ??= first === undefined ? undefined : first.key && Buffer.from(first.key);
    },
  });
  return key?.equals(lineage) === true;
}
