import type { ProcessContext, Processor } from '../../../runtime/operators/process-api.ts';
import type { Activity } from './activity.ts';

/** One contact's share of an epoch. */
interface Sum {
  readonly activity: Activity;
  readonly amounts: number[];
  timestamp: number;
}

/** Adds up each contact's activity within an epoch: one record per contact and epoch is repartitioned, not one per event. */
export function createCombineStep(
  context: ProcessContext<Activity, Record<never, never>>,
): Processor<Activity> {
  const sums = new Map<string, Sum>();
  return {
    process(activity, { timestamp }) {
      const id = JSON.stringify([activity.tenant, activity.contact]);
      const sum = sums.get(id);
      if (sum === undefined) {
        sums.set(id, { activity, amounts: [...activity.amounts], timestamp });
        return undefined;
      }
      for (const [index, amount] of activity.amounts.entries())
        sum.amounts[index] = (sum.amounts[index] ?? 0) + amount;
      sum.timestamp = Math.max(sum.timestamp, timestamp);
      return undefined;
    },
    endEpoch() {
      for (const { activity, amounts, timestamp } of sums.values())
        context.forward(activity.contact, { ...activity, amounts }, { timestamp });
      sums.clear();
    },
  };
}
