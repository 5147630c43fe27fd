/** Where a hook takes effect in a worker. */
export type HookPoint =
  /** In a step, in the middle of an epoch. */
  | 'record'
  /** The epoch is done, and nothing of it is sent. */
  | 'commit'
  /** Records and offsets are written, the end of the transaction is not asked for. */
  | 'end-transaction'
  /** The coordinator has answered that the transaction is committed. */
  | 'ended'
  /** The task knows that it is committed; its store has nothing of it. */
  | 'committed'
  /** A segment of the changelog is read back. */
  | 'restore';

/** `kill`: SIGKILL. `freeze`: SIGSTOP, until the test sends SIGCONT. `fail`: an error is thrown there. */
export interface Hook {
  readonly at: HookPoint;
  /** At which time of coming there, 1… */
  readonly nth: number;
  readonly action: 'kill' | 'freeze' | 'fail';
}

/** What a trial's worker is told, as JSON in `TRIAL_SETTINGS`. */
export interface WorkerSettings {
  readonly brokers: readonly string[];
  readonly registryUrl: string;
  readonly namespace: string;
  readonly stateDir: string;
  /** Throws on a poisoned record, unless the step is fixed. */
  readonly fixed: boolean;
  /** Each record takes so much longer, ms: makes epochs long. */
  readonly recordMs: number;
  readonly maxEpochRecords: number;
  /** The `checkpoint` section of the configuration. */
  readonly checkpoint: Readonly<Record<string, unknown>>;
  readonly hooks: readonly Hook[];
}

/** A task of a worker. */
export interface TaskReport {
  readonly group: string;
  readonly partition: number;
  readonly life: string;
  readonly attempts: number;
  readonly restarts: number;
  readonly failure?: { readonly code: string; readonly message: string };
}

/** What a worker says over IPC. */
export type WorkerMessage =
  | { readonly type: 'ready' }
  | { readonly type: 'status'; readonly tasks: readonly TaskReport[] };
