import type { TaskSlot } from '../task/task-slot.ts';
import type { InputStatus, TaskStatus } from './process-status.ts';

type ObservedTask = Pick<
  NonNullable<TaskSlot['task']>,
  'committedPositions' | 'watermark' | 'state' | 'counters'
>;

/** What is looked at of a partition that this process holds. */
export type ObservedSlot = Pick<
  TaskSlot,
  'partition' | 'life' | 'restarts' | 'failure' | 'restore' | 'ends'
> & {
  readonly task: ObservedTask | undefined;
  readonly kept: Pick<NonNullable<TaskSlot['kept']>, 'checkpoints'> | undefined;
};

/** What a task says of itself. Reads plain fields and sizes: cheap enough for each scrape. */
export function taskStatusOf(
  pipeline: string,
  subTopology: string,
  slot: ObservedSlot,
): TaskStatus {
  const { partition, life, restarts, failure, restore, task, kept } = slot;
  return {
    pipeline,
    subTopology,
    partition,
    state: life,
    inputs: inputsOf(slot),
    restarts,
    ...(task === undefined ? {} : { ...stateOf(task), ...stepsOf(task), ...asyncStepsOf(task) }),
    ...(restore === undefined ? {} : { restore: { done: restore.done, total: restore.total } }),
    ...(kept === undefined ? {} : checkpointsOf(kept)),
    ...(failure === undefined
      ? {}
      : { failure: { code: failure.code, message: failure.message, hint: failure.hint } }),
  };
}

function inputsOf({ partition, ends, task }: ObservedSlot): InputStatus[] {
  return [...ends].map(([topic, end]) => {
    const position = task?.committedPositions.get(topic);
    return {
      topic,
      partition,
      end: Number(end),
      ...(position === undefined
        ? {}
        : { position: Number(position), lag: Math.max(0, Number(end - position)) }),
    };
  });
}

function stateOf({ watermark, state }: ObservedTask): Partial<TaskStatus> {
  const { stores } = state.stats();
  return {
    stateEntries: stores.reduce((sum, { entries }) => sum + entries, 0),
    stateBytes: stores.reduce((sum, { bytes }) => sum + bytes, 0),
    stores: stores.map(({ name, entries, bytes }) => ({ name, entries, bytes })),
    // -Infinity before the first record.
    ...(Number.isFinite(watermark) ? { watermark } : {}),
  };
}

function stepsOf({ counters }: ObservedTask): Partial<TaskStatus> {
  return { steps: [...counters.steps].map(([step, { in: taken }]) => ({ step, in: taken })) };
}

function asyncStepsOf({ counters }: ObservedTask): Partial<TaskStatus> {
  const asyncSteps = [...counters.steps].flatMap(([step, { async }]) => {
    if (async === undefined) return [];
    const { inFlight, breaker } = async;
    return [{ step, inFlight, ...(breaker === undefined ? {} : { breaker }) }];
  });
  return asyncSteps.length === 0 ? {} : { asyncSteps };
}

function checkpointsOf(kept: NonNullable<ObservedSlot['kept']>): Partial<TaskStatus> {
  const { newest, failures } = kept.checkpoints();
  return { checkpointFailures: failures, ...(newest === undefined ? {} : { checkpoint: newest }) };
}
