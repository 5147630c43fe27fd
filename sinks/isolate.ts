import type { RecordResult } from '../runtime/delivery/sink.ts';

/** What a store said of a group: one result for all of it, or one per item in order. */
export type GroupResult = RecordResult | readonly RecordResult[];

/**
 * Writes groups of items and finds the ones at fault where the store does not say which they are.
 *
 * `attempt` sends a group. A single `rejected`, or `retry` of the record, for the whole says that at least one item is at
 * fault and that nothing was written: the group is halved until the fault stands alone, so one poison record among n
 * costs about 2·log2(n) attempts more, and the worst case (all are poison) 2n−1 attempts. A single `retry` of the store
 * says that it is sick, not an item: what has not been sent yet gets the same answer unsent.
 * @returns one result per item, in the order of the groups.
 */
export async function writeIsolating<T>(
  groups: readonly (readonly T[])[],
  attempt: (group: readonly T[]) => Promise<GroupResult>,
): Promise<readonly RecordResult[]> {
  const results: RecordResult[] = [];
  // A stack, so that groups are taken left to right and results line up with items.
  const waiting = groups.filter((group) => group.length > 0).reverse();
  for (let group = waiting.pop(); group !== undefined; group = waiting.pop()) {
    const result = await attempt(group);
    if (!('status' in result)) {
      for (const one of result) results.push(one);
      continue;
    }
    const sick = result.status === 'retry' && result.of === 'store';
    if (result.status !== 'delivered' && !sick && group.length > 1) {
      const middle = group.length >> 1;
      waiting.push(group.slice(middle), group.slice(0, middle));
      continue;
    }
    const unsent = sick ? waiting.splice(0).reverse() : [];
    for (const { length } of [group, ...unsent]) {
      for (let i = 0; i < length; i++) results.push(result);
    }
  }
  return results;
}
