import type { TopicName } from '../../schemas/topics.ts';
import { settledWithin } from '../backoff.ts';
import type { ReachflowError } from '../errors.ts';
import type { RestoreProgress } from './changelog-restore.ts';
import { nextLife, type TaskEvent, type TaskLife } from './lifecycle.ts';
import type { KeptTask } from './state-service.ts';
import type { StreamTask } from './stream-task.ts';

/** How long letting go waits for an attempt to open, ms: a broker that is away must not hold up who stops. */
const OPENING_MS = 5_000;
const OPENED_FROM: ReadonlySet<TaskLife> = new Set(['created', 'backoff', 'fenced']);

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
  readonly #gone = new AbortController();
  #timer: NodeJS.Timeout | undefined;
  #work: Promise<void> = Promise.resolve();

  constructor(partition: number) {
    this.partition = partition;
  }

  on(event: TaskEvent): void {
    this.life = nextLife(this.life, event);
  }

  /**
   * What failed is not due until `notBefore` is set anew: not while the failed task is still being closed, where a second
   * one would be opened beside it, and the failure be forgotten.
   */
  fails(event: 'error' | 'fence'): void {
    this.on(event);
    this.notBefore = Number.POSITIVE_INFINITY;
  }

  /** Whether its task is to be opened, as of `now`, ms since the epoch. */
  isDue(now: number): boolean {
    return now >= this.notBefore && OPENED_FROM.has(this.life);
  }

  /** Aborted once the partition goes away, or the worker stops. */
  get signal(): AbortSignal {
    return this.#gone.signal;
  }

  /** Calls `then` in so many ms, instead of what was to be called before; never once the partition went away. */
  wake(ms: number, then: () => void): void {
    clearTimeout(this.#timer);
    if (this.signal.aborted) return;
    this.#timer = setTimeout(then, Math.max(0, ms));
  }

  /** Opens or closes its task: one after the other, and before it is let go of. `work` must not throw. */
  does(work: () => Promise<void>): Promise<void> {
    this.#work = this.#work.then(work);
    return this.#work;
  }

  /** Lets go of the task, after the epoch under way. */
  async drop(): Promise<void> {
    const { task, kept } = this;
    this.task = undefined;
    this.kept = undefined;
    await kept?.end();
    await task?.close();
  }

  /** Ends what it waits for and an attempt to open. */
  abandon(): void {
    clearTimeout(this.#timer);
    this.#gone.abort();
  }

  /** The partition went away: waits for the epoch under way and lets go of the task. Idempotent. */
  async release(): Promise<void> {
    this.abandon();
    await settledWithin(OPENING_MS, [this.#work]);
    await this.drop();
  }
}
