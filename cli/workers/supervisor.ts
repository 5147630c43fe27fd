import type { Logger } from 'pino';
import { backoffMs } from '../../runtime/backoff.ts';
import { ReachflowError } from '../../runtime/errors.ts';
import type { ProcessReport, WorkerStatus } from '../../runtime/observability/process-status.ts';
import type { WorkersConfig } from './config.ts';
import { type ProcessMessage, tellParent } from './messages.ts';
import {
  beginSupervision,
  type Decision,
  decide,
  type Supervision,
  type SupervisionAction,
  type SupervisionEvent,
  type SupervisionFailure,
  type WorkerExit,
} from './supervision.ts';

/** A process that the supervisor started. */
export interface WorkerProcess {
  readonly pid: number | undefined;
  /** Does nothing once the process has ended. */
  signal(signal: 'SIGTERM' | 'SIGKILL'): void;
}

export interface WorkerEvents {
  onMessage(message: ProcessMessage): void;
  /** Once, after the last message; also when the process could not be started. */
  onExit(exit: WorkerExit): void;
}

/** Starts the process of worker `worker` (1…). Does not throw: what fails is an exit. */
export type StartWorker = (worker: number, events: WorkerEvents) => WorkerProcess;

export interface SupervisorOptions {
  readonly count: number;
  readonly config: WorkersConfig;
  readonly logger: Logger;
  readonly startWorker: StartWorker;
  /** Called whenever `phase` or `workers` may have changed. */
  readonly onChange?: () => void;
}

/** What the supervisor keeps of a worker beside its state: its present process, and the timer that concerns it. */
interface Slot {
  process: WorkerProcess | undefined;
  timer: NodeJS.Timeout | undefined;
  starts: number;
}

/** After the last SIGKILL: a process that the kernel cannot end is left behind. */
const KILLED_WAIT_MS = 5_000;

/**
 * Keeps `count` worker processes running and does what `decide` says; it never works on data. Workers know nothing
 * of each other: Kafka's consumer groups spread the tasks over all of them, on all hosts.
 */
export class Supervisor {
  readonly #options: SupervisorOptions;
  readonly #slots = new Map<number, Slot>();
  readonly #done = Promise.withResolvers<void>();
  #state: Supervision = { phase: 'running', workers: [], wasReady: false };
  #webhookUrl: string | undefined;
  #stopTimers: NodeJS.Timeout[] = [];

  constructor(options: SupervisorOptions) {
    this.#options = options;
  }

  /**
   * Starts the workers; resolves once all have ended after `until` has resolved (with the reason to stop).
   * @throws ReachflowError when it gave up: the error of a worker that a user has to repair, seen before all were
   *   ready, or `WORKER_FAILED` after `maxFailures` in a row.
   */
  async run(until: Promise<string>): Promise<void> {
    void until.then((reason) => {
      this.#options.logger.info({ reason }, 'stopping');
      this.#on({ kind: 'stopRequested' });
    });
    const { count } = this.#options;
    for (let worker = 1; worker <= count; worker += 1) {
      this.#slots.set(worker, { process: undefined, timer: undefined, starts: 0 });
    }
    this.#apply(beginSupervision(count));
    await this.#done.promise;
    for (const timer of this.#stopTimers) clearTimeout(timer);
    if (this.#state.failure !== undefined) throw givenUp(this.#state.failure);
    this.#options.logger.info('stopped');
  }

  #on(event: SupervisionEvent): void {
    this.#apply(decide(this.#state, event, this.#options.config));
  }

  #apply({ state, actions }: Decision): void {
    const changed = state !== this.#state;
    this.#state = state;
    for (const action of actions) this.#do(action);
    if (!changed) return;
    this.#options.onChange?.();
    void tellParent({ type: 'workers', workers: this.workers() });
  }

  #do(action: SupervisionAction): void {
    const { config, logger } = this.#options;
    switch (action.kind) {
      case 'start':
        this.#start(action.worker);
        break;
      case 'startLater':
        this.#startLater(action.worker, action.attempt);
        break;
      case 'signal': {
        const { worker, signal } = action;
        if (signal === 'SIGKILL') logger.warn({ worker }, 'worker did not end in time, killing it');
        this.#slots.get(worker)?.process?.signal(signal);
        break;
      }
      case 'timeDrain': {
        const { worker } = action;
        this.#later(worker, config.stopTimeoutMs, { kind: 'drainTimedOut', worker });
        break;
      }
      case 'timeStop':
        this.#stopTimers = [
          setTimeout(() => this.#on({ kind: 'stopTimedOut' }), config.stopTimeoutMs),
          setTimeout(() => this.#done.resolve(), config.stopTimeoutMs + KILLED_WAIT_MS),
        ];
        break;
      case 'announceReady':
        logger.info({ workers: this.#slots.size, webhookUrl: this.#webhookUrl }, 'ready');
        void tellParent({ type: 'ready', webhookUrl: this.#webhookUrl });
        break;
      case 'end':
        this.#done.resolve();
    }
  }

  #startLater(worker: number, attempt: number): void {
    const { restartInitialMs: initialMs, restartMaxMs: maxMs } = this.#options.config;
    const waitMs = backoffMs(attempt, { initialMs, maxMs });
    this.#options.logger.warn({ worker, attempt, waitMs }, 'worker will be started again');
    this.#later(worker, waitMs, { kind: 'backoffElapsed', worker });
  }

  /** One timer a worker: a later one replaces it. */
  #later(worker: number, ms: number, event: SupervisionEvent): void {
    const slot = this.#slots.get(worker);
    if (slot === undefined) return;
    clearTimeout(slot.timer);
    slot.timer = setTimeout(() => this.#on(event), ms);
  }

  #start(worker: number): void {
    const slot = this.#slots.get(worker);
    if (slot === undefined) return;
    slot.starts += 1;
    slot.process = this.#options.startWorker(worker, {
      onMessage: (message) => this.#onMessage(worker, message),
      onExit: (exit) => {
        const { pid } = slot.process ?? {};
        this.#options.logger.info({ worker, pid, ...exit }, 'worker ended');
        slot.process = undefined;
        clearTimeout(slot.timer);
        this.#on({ kind: 'exited', worker, exit, at: performance.now() });
      },
    });
    this.#options.logger.info({ worker, pid: slot.process.pid }, 'worker started');
  }

  #onMessage(worker: number, message: ProcessMessage): void {
    if (message.type === 'ready') {
      this.#webhookUrl = message.webhookUrl;
      this.#on({ kind: 'ready', worker, at: performance.now() });
    } else if (message.type === 'draining') this.#on({ kind: 'draining', worker });
    else if (message.type === 'failed') this.#on({ kind: 'failed', worker, failure: message });
  }

  /** For observers; `failed` once it gave up. */
  get phase(): ProcessReport['phase'] {
    const { phase, wasReady, failure } = this.#state;
    if (failure !== undefined) return 'failed';
    if (phase !== 'running') return 'stopping';
    return wasReady ? 'running' : 'starting';
  }

  /** For observers. */
  workers(): WorkerStatus[] {
    return this.#state.workers.map(({ worker, phase }) => {
      const { process, starts = 0 } = this.#slots.get(worker) ?? {};
      const pid = process?.pid;
      const restarts = Math.max(0, starts - 1);
      return { worker, phase, restarts, ...(pid === undefined ? {} : { pid }) };
    });
  }
}

function givenUp({ worker, failures, exit, cause }: SupervisionFailure): ReachflowError {
  if (cause?.domain === 'user') {
    return new ReachflowError(cause.message, {
      code: cause.code,
      domain: 'user',
      ...(cause.hint === undefined ? {} : { hint: cause.hint }),
    });
  }
  const how = cause?.message ?? `it ended by ${exit.signal ?? `exit code ${exit.code}`}`;
  const times = failures === 1 ? 'once' : `${failures} times in a row`;
  return new ReachflowError(`worker ${worker} failed ${times}: ${how}`, {
    code: 'WORKER_FAILED',
    domain: cause?.domain ?? 'internal',
    retry: 'backoff',
    hint: cause?.hint ?? `Its log lines have "worker":${worker}; they say why.`,
  });
}
