import { setTimeout as delay } from 'node:timers/promises';
import type { KafkaClient } from '../runtime/kafka/client.ts';
import { groupPositions, type WatchedGroup } from '../runtime/kafka/stats.ts';
import { groupsOf } from './ownership.ts';
import type { Scene } from './scene.ts';

const POLL_MS = 100;

/**
 * Waits until a generation has processed all that its inputs hold now, and its sinks have written all that came of it.
 * @returns false when it has not within `limitMs`.
 */
async function hasPassed(
  client: KafkaClient,
  groups: readonly WatchedGroup[],
  limitMs: number,
): Promise<boolean> {
  const deadline = performance.now() + limitMs;
  const ends = new Map<string, bigint>();
  for (const [group, own] of await groupPositions(client, groups)) {
    for (const { topic, partition, end } of own) ends.set(`${group}/${topic}/${partition}`, end);
  }
  for (;;) {
    const positions = await groupPositions(client, groups);
    const isBehind = [...positions].some(([group, own]) =>
      own.some(({ topic, partition, committed, low }) => {
        const end = ends.get(`${group}/${topic}/${partition}`) ?? 0n;
        return (committed ?? low) < end;
      }),
    );
    if (!isBehind) return true;
    if (performance.now() > deadline) return false;
    await delay(POLL_MS);
  }
}

/**
 * Waits until both the live generation and the replay have passed the present ends of the inputs, and their sinks what came
 * of that: rows that differ then differ by what was done, not by when.
 * @returns false when one of them has not within `limitMs`.
 */
export async function settled(
  { topology, live, shadow, groups }: Scene,
  limitMs: number,
): Promise<boolean> {
  const deadline = performance.now() + limitMs;
  const left = () => Math.max(0, deadline - performance.now());
  const tasks = new Set(groupsOf(topology).map(({ group }) => group));
  const [inner, sinks] = [
    groups.filter(({ group }) => tasks.has(group)),
    groups.filter(({ group }) => !tasks.has(group)),
  ];
  const passed = async (client: KafkaClient) => {
    // Several hops: a repartition topic is read by a group that is asked for only once the one before has passed.
    for (const group of inner) if (!(await hasPassed(client, [group], left()))) return false;
    return hasPassed(client, sinks, left());
  };
  const [a, b] = await Promise.all([passed(live), passed(shadow)]);
  return a && b;
}
