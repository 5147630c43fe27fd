import type { Logger } from 'pino';
import { errorCode, ReachflowError } from '../errors.ts';
import type { BackendKind, StateIdentity } from '../state/contract.ts';
import { checkpointsOf, problemOf } from './catalog.ts';
import type { CheckpointConfig } from './config.ts';
import { taskName, taskPrefix } from './layout.ts';
import type { CheckpointManifest } from './manifest.ts';
import { ORPHAN_MS, pruneCheckpoints } from './prune.ts';
import { type CheckpointStorage, throwIfAborted } from './storage.ts';
import { removeStaleStaging, type TaskSnapshot, writeCheckpoint } from './write.ts';

/** What the checkpointer needs of a task. */
export interface CheckpointedTask {
  readonly identity: StateIdentity;
  readonly backend: BackendKind;
  /** Next offset of the changelog that its state is at; undefined while it is empty. Unchanged: no new checkpoint. */
  position(): bigint | undefined;
  /** Input records that it processed; only differences count. */
  records(): number;
  /**
   * Writes its state into the directory, which is new and empty, at a moment between two epochs; the task goes on as
   * soon as the moment is over. Never called twice at once.
   */
  snapshot(dir: string): Promise<TaskSnapshot>;
}

export interface CheckpointerOptions {
  readonly config: Pick<
    CheckpointConfig,
    'intervalMs' | 'everyRecords' | 'keep' | 'concurrency' | 'timeoutMs'
  >;
  readonly storage: CheckpointStorage;
  /** Where snapshots are written when the storage does not say: on the disk of the state. */
  readonly stagingDir: string;
  /** For manifests: reachflow, node and so on. */
  readonly versions: Readonly<Record<string, string>>;
  readonly logger: Logger;
}

/** What became of a task's checkpoints; for metrics and people. */
export interface CheckpointStats {
  readonly identity: StateIdentity;
  /** Written by this process since the task was registered. */
  written: number;
  /** Attempts that failed, and those since the last one that did not. */
  failures: number;
  failuresInARow: number;
  /** Code of the last failure. */
  lastFailure: string | undefined;
  /** Of the newest checkpoint; undefined before the first. When its snapshot was taken, ms. */
  lastAt: number | undefined;
  lastOffset: bigint | undefined;
  lastBytes: number | undefined;
  lastDurationMs: number | undefined;
  /** Whether one is being written. */
  running: boolean;
}

interface Registered {
  readonly task: CheckpointedTask;
  readonly stats: CheckpointStats;
  readonly ended: AbortController;
  /** When the next one is due at the latest, ms. */
  dueAt: number;
  /** Of the task, at the last checkpoint. */
  recordsThen: number;
  /** Whether the storage was asked what there is from before. */
  looked: boolean;
  /** Settles when a snapshot does, and the task's state is not in use any more; never rejects. */
  snapshotting: Promise<void> | undefined;
  /** Settles with the attempt, never rejects. */
  attempt: Promise<void> | undefined;
}

const LONGEST_TICK_MS = 1_000;
/** A task is not being saved for more than one part in so many of the time: large states are saved less often. */
const SHARE_OF_TIME = 10;

/**
 * Saves the state of a process's tasks: each one after an interval or a number of records, if it changed. A failure is
 * logged and counted, and tried again at the next interval; it never stops a task.
 */
export class Checkpointer {
  readonly #options: CheckpointerOptions;
  readonly #tasks = new Map<string, Registered>();
  #timer: NodeJS.Timeout | undefined;
  #running = 0;
  #stopped = false;

  constructor(options: CheckpointerOptions) {
    this.#options = options;
  }

  /** Begins to look after the tasks. Idempotent. */
  start(): void {
    if (this.#timer !== undefined || this.#stopped) return;
    const tickMs = Math.min(LONGEST_TICK_MS, this.#options.config.intervalMs / 4);
    this.#timer = setInterval(() => this.#beginDue(), tickMs).unref();
  }

  /** Takes a task that is restored. @throws Error when it is registered already: a mistake of the caller. */
  register(task: CheckpointedTask): void {
    const key = taskPrefix(task.identity);
    if (this.#tasks.has(key)) throw new Error(`${taskName(task.identity)} is registered already`);
    const { identity } = task;
    this.#tasks.set(key, {
      task,
      stats: newStats(identity),
      ended: new AbortController(),
      // Anywhere in the first interval: tasks that were opened together are not saved together.
      dueAt: Date.now() + this.#options.config.intervalMs * (0.25 + 0.75 * Math.random()),
      recordsThen: task.records(),
      looked: false,
      snapshotting: undefined,
      attempt: undefined,
    });
  }

  /** Lets a task go. Resolves once its state is not being read any more: its backend can be closed then. */
  async unregister(identity: StateIdentity): Promise<void> {
    const key = taskPrefix(identity);
    const registered = this.#tasks.get(key);
    if (registered === undefined) return;
    this.#tasks.delete(key);
    registered.ended.abort();
    await registered.snapshotting;
  }

  /** Of every registered task. */
  stats(): readonly Readonly<CheckpointStats>[] {
    return [...this.#tasks.values()].map(({ stats }) => stats);
  }

  /**
   * Saves a task now, even if it has not changed; waits for one that is being written first.
   * @returns what was written. @throws ReachflowError as the storage does, `CHECKPOINT_ABORTED`, `CHECKPOINT_TIMEOUT`,
   * or what the snapshot throws.
   */
  async checkpoint(identity: StateIdentity): Promise<CheckpointManifest> {
    const registered = this.#tasks.get(taskPrefix(identity));
    if (registered === undefined) throw new Error(`${taskName(identity)} is not registered`);
    for (let wait = registered.attempt; wait !== undefined; wait = registered.attempt) await wait;
    const writing = this.#write(registered);
    this.#track(registered, writing);
    return writing;
  }

  #track(registered: Registered, work: Promise<unknown>): void {
    const done = (): void => {
      registered.attempt = undefined;
    };
    registered.attempt = work.then(done, done);
  }

  /** Ends what is under way, and waits for its end. The storage is the caller's to close. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearInterval(this.#timer);
    const tasks = [...this.#tasks.values()];
    for (const { ended } of tasks) ended.abort();
    await Promise.all(tasks.map(({ attempt }) => attempt));
  }

  #beginDue(): void {
    const now = Date.now();
    const due = [...this.#tasks.values()]
      .filter((registered) => registered.attempt === undefined && this.#isDue(registered, now))
      .sort((a, b) => a.dueAt - b.dueAt);
    for (const registered of due) {
      if (this.#running >= this.#options.config.concurrency) return;
      this.#running += 1;
      const ended = this.#attempt(registered).finally(() => {
        this.#running -= 1;
      });
      this.#track(registered, ended);
    }
  }

  #isDue({ task, dueAt, recordsThen, stats }: Registered, now: number): boolean {
    const { everyRecords } = this.#options.config;
    const { lastAt = 0, lastDurationMs = 0 } = stats;
    if (now < lastAt + SHARE_OF_TIME * lastDurationMs) return false;
    if (now >= dueAt) return true;
    // After a failure it waits for the interval: a storage that is away is not asked all the time.
    if (everyRecords === 0 || stats.failuresInARow > 0) return false;
    return task.records() - recordsThen >= everyRecords;
  }

  async #attempt(registered: Registered): Promise<void> {
    const { task, stats, ended } = registered;
    const { config, logger } = this.#options;
    registered.dueAt = Date.now() + config.intervalMs * (0.9 + 0.2 * Math.random());
    registered.recordsThen = task.records();
    try {
      if (!registered.looked) await this.#look(registered);
      const position = task.position();
      if (position === undefined || position === stats.lastOffset || ended.signal.aborted) return;
      await this.#write(registered);
    } catch (error) {
      if (ended.signal.aborted) return;
      const fields = { task: taskName(task.identity), failures: stats.failuresInARow, err: error };
      logger.warn(
        fields,
        'a checkpoint could not be written; it is tried again at the next interval',
      );
    }
  }

  /** What a task has from earlier owners: it tells the age, and spares a copy of what has not changed. */
  async #look({ task, stats }: Registered): Promise<void> {
    const position = task.position();
    const entries = await this.#counted(stats, () =>
      checkpointsOf(this.#options.storage, task.identity),
    );
    const newest = entries.find(
      (entry) => entry.state === 'complete' && entry.changelogOffset <= (position ?? 0n),
    );
    if (newest?.state === 'complete') remember(stats, newest.manifest);
    const registered = this.#tasks.get(taskPrefix(task.identity));
    if (registered !== undefined) registered.looked = true;
  }

  #write(registered: Registered): Promise<CheckpointManifest> {
    const { task, stats, ended } = registered;
    const { config } = this.#options;
    const timeout = AbortSignal.timeout(config.timeoutMs);
    const signal = AbortSignal.any([ended.signal, timeout]);
    return this.#counted(stats, async () => {
      stats.running = true;
      try {
        const manifest = await this.#writeUntil(registered, signal);
        remember(stats, manifest);
        stats.written += 1;
        return manifest;
      } catch (error) {
        throw timeout.aborted ? timedOut(task.identity, config.timeoutMs, error) : error;
      } finally {
        stats.running = false;
      }
    });
  }

  async #writeUntil(registered: Registered, signal: AbortSignal): Promise<CheckpointManifest> {
    const { identity, backend } = registered.task;
    const { storage, stagingDir, versions, config, logger } = this.#options;
    const { manifest } = await writeCheckpoint({
      storage,
      identity,
      backend,
      snapshot: (dir) => this.#snapshot(registered, dir, signal),
      stagingDir,
      versions,
      signal,
    });
    logger.debug({ task: taskName(identity), ...describe(manifest) }, 'a checkpoint was written');
    const policy = { keep: config.keep, reached: manifest.changelogOffset, now: Date.now() };
    await this.#prune(identity, policy);
    return manifest;
  }

  /** One at a time, even when an attempt gave up waiting for the one before. */
  async #snapshot(registered: Registered, dir: string, signal: AbortSignal): Promise<TaskSnapshot> {
    await registered.snapshotting;
    throwIfAborted(signal);
    const taking = registered.task.snapshot(dir);
    const done = (): void => {
      registered.snapshotting = undefined;
    };
    registered.snapshotting = taking.then(done, done);
    return taking;
  }

  /** The checkpoint is there, whatever becomes of the older ones. */
  async #prune(
    identity: StateIdentity,
    policy: Parameters<typeof pruneCheckpoints>[2],
  ): Promise<void> {
    const { storage, stagingDir, logger } = this.#options;
    const task = taskName(identity);
    try {
      await removeStaleStaging(storage.stagingDir ?? stagingDir, policy.now - ORPHAN_MS);
      const { broken } = await pruneCheckpoints(storage, identity, policy);
      for (const entry of broken) {
        logger.warn(
          { task, checkpoint: entry.id, problem: problemOf(entry) },
          'a checkpoint is broken',
        );
      }
    } catch (error) {
      logger.warn(
        { task, err: error },
        'old checkpoints could not be removed; the next one tries again',
      );
    }
  }

  async #counted<T>(stats: CheckpointStats, work: () => Promise<T>): Promise<T> {
    try {
      const result = await work();
      stats.failuresInARow = 0;
      stats.lastFailure = undefined;
      return result;
    } catch (error) {
      // Ended by the task's end, which is no failure.
      if (errorCode(error) !== 'CHECKPOINT_ABORTED') {
        stats.failures += 1;
        stats.failuresInARow += 1;
        stats.lastFailure = errorCode(error) ?? 'UNEXPECTED';
      }
      throw error;
    }
  }
}

function newStats(identity: StateIdentity): CheckpointStats {
  return {
    identity,
    written: 0,
    failures: 0,
    failuresInARow: 0,
    lastFailure: undefined,
    lastAt: undefined,
    lastOffset: undefined,
    lastBytes: undefined,
    lastDurationMs: undefined,
    running: false,
  };
}

function remember(stats: CheckpointStats, manifest: CheckpointManifest): void {
  stats.lastAt = manifest.createdAt;
  stats.lastOffset = manifest.changelogOffset;
  stats.lastBytes = manifest.bytes;
  stats.lastDurationMs = manifest.durationMs;
}

function describe({ changelogOffset, bytes, durationMs, entries }: CheckpointManifest) {
  return { changelogOffset: String(changelogOffset), bytes, entries, durationMs };
}

function timedOut(identity: StateIdentity, timeoutMs: number, cause: unknown): ReachflowError {
  return new ReachflowError(
    `the checkpoint of ${taskName(identity)} took more than ${timeoutMs} ms`,
    {
      code: 'CHECKPOINT_TIMEOUT',
      domain: 'external',
      retry: 'backoff',
      hint: 'Its storage is slow or hangs; raise checkpoint.timeoutMs when the state is that large.',
      cause,
    },
  );
}
