import type { PartitionOffsets } from '../kafka/partition-offsets.ts';
import type { StateIdentity, StoreSpec } from '../state/contract.ts';
import type { TaskState } from '../state/task-state.ts';
import type { StreamTask } from './stream-task.ts';

/** What is known of a task's checkpoints. */
export interface CheckpointSummary {
  /** When the newest complete one was taken, ms since the epoch. */
  readonly at: number;
  readonly bytes: number;
  readonly durationMs: number;
}

/** A task that runs, as its state's keeper sees it. */
export interface KeptTask {
  /** The newest checkpoint, and attempts that failed since the task was opened. */
  checkpoints(): { readonly newest: CheckpointSummary | undefined; readonly failures: number };
  /** No checkpoint is begun any more; resolves when the state is not being read. Before the state is closed. */
  end(): Promise<void>;
}

/** Where tasks of this process keep their state; see `localStates`. */
export interface StateService {
  /**
   * Opens what is left of a task's state here, or of its newest checkpoint; empty when there is neither.
   * @param log offsets of the changelog: a checkpoint that it does not continue is of no use.
   * @param signal ends the download of a checkpoint; what is here stays.
   * @throws the signal's reason; ReachflowError `STATE_LOCKED` (retry: backoff) while another process has it.
   */
  open(
    identity: StateIdentity,
    specs: readonly StoreSpec<unknown>[],
    log: Pick<PartitionOffsets, 'low' | 'lastStable'>,
    signal: AbortSignal,
  ): Promise<TaskState>;
  /** Partitions of a sub-topology whose state is here: the group gives them back to us when it can. */
  warm(identity: Omit<StateIdentity, 'partition'>): readonly number[];
  /** A task runs: checkpoints are taken of it from now on. */
  keep(identity: StateIdentity, task: StreamTask): KeptTask;
  /** No more checkpoints. */
  stop(): Promise<void>;
}
