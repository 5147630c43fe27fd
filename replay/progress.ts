import { groupPositions } from '../runtime/kafka/stats.ts';
import type { Replay } from './journal.ts';
import { groupsOf } from './ownership.ts';
import type { Scene } from './scene.ts';

/** How far a replay is. Records are counted by offsets: markers of transactions, too. */
export interface Progress {
  readonly done: number;
  readonly total: number;
  /** Behind the ends of its inputs as they are now; 0 where the range is closed and done. */
  readonly behind: number;
  /** Records that its sinks have still to write. */
  readonly unwritten: number;
}

/** @throws ReachflowError `KAFKA_UNAVAILABLE`. */
export async function progressOf(
  { topology, shadow, groups }: Scene,
  replay: Replay,
): Promise<Progress> {
  const positions = await groupPositions(shadow, groups);
  const own = groupsOf(topology);
  let [done, total, behind, unwritten] = [0n, 0n, 0n, 0n];
  for (const { group, topics } of groups) {
    const isTask = own.some((one) => one.group === group);
    for (const { topic, partition, committed, end, lag } of positions.get(group) ?? []) {
      if (!isTask) {
        unwritten += lag;
        continue;
      }
      if (!topics.includes(topic)) continue;
      const from = BigInt(replay.from[topic]?.[partition] ?? '0');
      const until = BigInt(replay.until[topic]?.[partition] ?? '0');
      const at = committed ?? from;
      const bound = BigInt(replay.to?.[topic]?.[partition] ?? String(end));
      total += until > from ? until - from : 0n;
      done += at > until ? (until > from ? until - from : 0n) : at > from ? at - from : 0n;
      behind += bound > at ? bound - at : 0n;
    }
  }
  return {
    done: Number(done),
    total: Number(total),
    behind: Number(behind),
    unwritten: Number(unwritten),
  };
}
