import type { TopicName } from '../../schemas/topics.ts';
import type { ReachflowError } from '../errors.ts';
import { nextLife, type TaskEvent, type TaskLife } from './lifecycle.ts';
import type { KeptTask } from './state-service.ts';
import type { StreamTask } from './stream-task.ts';
import type { RestoreProgress } from './task-opener.ts';

/** A partition that this worker holds, and the task on it. */
export class TaskSlot {
  readonly partition: number;
  life: TaskLife = 'created';
  task: StreamTask | undefined;
  /** Why it stands still, when it failed. */
  failure: ReachflowError | undefined;
  /** When it may be opened again, ms since the epoch. */
  notBefore = 0;
  /** Table rows that changed while it was being opened, as topic and key. */
  readonly missed = new Map<string, { readonly topic: TopicName; readonly key: string }>();
  /** Attempts since it last worked. */
  attempts = 0;
  /** Those of them that waiting does not cure: a broker that was away is no reason to give up at the first bug. */
  bugs = 0;
  restarts = 0;
  restore: RestoreProgress | undefined;
  /** Next offset of each source topic on the broker, as of the last fetch. */
  readonly ends = new Map<string, bigint>();
  ticking = false;
  kept: KeptTask | undefined;

  constructor(partition: number) {
    this.partition = partition;
  }

  on(event: TaskEvent): void {
    this.life = nextLife(this.life, event);
  }

  /** Waits for the epoch under way and lets go of the task. Idempotent. */
  async release(): Promise<void> {
    const { task, kept } = this;
    this.task = undefined;
    this.kept = undefined;
    await kept?.end();
    await task?.close();
  }
}
