import type { EpochOffset } from '../kafka/epoch-producer.ts';
import type { EpochOutput } from '../topology/operator.ts';

/**
 * What a task needs of Kafka: `EpochProducer` in production, a log in memory in the test driver and the simulation.
 * The contract is that of `EpochProducer`: a commit is all or nothing, and a producer that failed is of no further use.
 */
export interface TaskProducer {
  partitionCount(topic: string): number;
  partitionFor(topic: string, key: string): number;
  begin(): TaskEpoch;
  /** @throws ReachflowError `FENCED`, `COMMIT_FAILED` (the outcome is unknown). */
  commit(epoch: TaskEpoch, offsets: readonly EpochOffset[]): Promise<TaskCommit>;
  close(): Promise<void>;
}

export interface TaskCommit {
  /** The offset behind what was written to a partition. */
  nextOffset(topic: string, partition: number): bigint | undefined;
}

/** The outputs of one epoch. */
export interface TaskEpoch extends Pick<EpochOutput, 'append' | 'appendWith'> {
  readonly count: number;
  readonly bytes: number;
  /** Throws it away. */
  release(): void;
}
