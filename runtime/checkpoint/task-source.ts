import type { StateIdentity } from '../state/contract.ts';
import type { TaskState } from '../state/task-state.ts';
import type { CheckpointedTask } from './checkpointer.ts';
import type { TaskSnapshot } from './write.ts';

/** What a manifest says beside the state; all of it is for people. */
export interface TaskFacts {
  /** Input records that the task processed, for `checkpoint.everyRecords`; only differences count. */
  records(): number;
  /** Committed next input offset by topic. */
  inputOffsets?(): Readonly<Record<string, bigint>>;
  /** Event time reached, ms. */
  watermark?(): number;
}

/** A task's state as the checkpointer wants it. Unregister it before the state is closed. */
export function checkpointedState(
  identity: StateIdentity,
  state: TaskState,
  facts: TaskFacts,
): CheckpointedTask {
  return {
    identity,
    backend: state.stats().backend,
    position: () => state.position,
    records: () => facts.records(),
    async snapshot(dir): Promise<TaskSnapshot> {
      // It flushes before it returns to us: what is read until the first await is of the same moment.
      const taking = state.snapshot(dir);
      const about = {
        entries: state.stats().stores.reduce((sum, { entries }) => sum + entries, 0),
        inputOffsets: facts.inputOffsets?.(),
        watermark: facts.watermark?.(),
      };
      return { ...about, ...(await taking) };
    },
  };
}
