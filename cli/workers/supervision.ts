/**
 * What the supervisor decides, as a pure state machine: `decide(state, event)` returns the next state and what to
 * do. It knows no process, clock or timer, so every decision is tested without one.
 */
import type { ErrorDomain } from '../../runtime/errors.ts';

/** Why a worker ended, in its own last words. */
export interface WorkerFailure {
  readonly code: string;
  readonly message: string;
  readonly domain: ErrorDomain;
  readonly hint?: string | undefined;
}

/** How a worker process ended, as the operating system says it. */
export interface WorkerExit {
  readonly code: number | null;
  readonly signal: string | null;
}

/**
 * `starting`: a process that is not ready · `ready` · `draining`: it ends by itself, to be replaced · `waiting`:
 * no process until the back-off has passed · `gone`: no process, and none will follow.
 */
export type WorkerPhase = 'starting' | 'ready' | 'draining' | 'waiting' | 'gone';

export interface WorkerState {
  /** 1…count; it outlives the processes that take its place one after the other. */
  readonly worker: number;
  readonly phase: WorkerPhase;
  /** In a row. */
  readonly failures: number;
  /** ms, on the clock of the events. */
  readonly readyAt?: number | undefined;
  /** What this process said before it ended. */
  readonly failure?: WorkerFailure | undefined;
}

export interface Supervision {
  readonly phase: 'running' | 'stopping' | 'ended';
  readonly workers: readonly WorkerState[];
  /** Were all workers ready at one time? Until then, what a user has to repair ends the start. */
  readonly wasReady: boolean;
  /** Why it stops, when nobody asked for it. */
  readonly failure?: SupervisionFailure | undefined;
}

export interface SupervisionFailure {
  readonly worker: number;
  readonly failures: number;
  readonly exit: WorkerExit;
  readonly cause?: WorkerFailure | undefined;
}

export type SupervisionEvent =
  | { readonly kind: 'ready'; readonly worker: number; readonly at: number }
  /** The worker will drain and end, because it needs a successor. */
  | { readonly kind: 'draining'; readonly worker: number }
  | { readonly kind: 'failed'; readonly worker: number; readonly failure: WorkerFailure }
  | {
      readonly kind: 'exited';
      readonly worker: number;
      readonly exit: WorkerExit;
      readonly at: number;
    }
  | { readonly kind: 'backoffElapsed'; readonly worker: number }
  | { readonly kind: 'drainTimedOut'; readonly worker: number }
  | { readonly kind: 'stopRequested' }
  | { readonly kind: 'stopTimedOut' };

export type SupervisionAction =
  | { readonly kind: 'start'; readonly worker: number }
  /** `attempt` 1 is the first retry: `backoffMs` gives the wait. */
  | { readonly kind: 'startLater'; readonly worker: number; readonly attempt: number }
  | { readonly kind: 'signal'; readonly worker: number; readonly signal: 'SIGTERM' | 'SIGKILL' }
  | { readonly kind: 'timeDrain'; readonly worker: number }
  | { readonly kind: 'timeStop' }
  | { readonly kind: 'announceReady' }
  | { readonly kind: 'end' };

export interface SupervisionLimits {
  readonly healthyMs: number;
  readonly maxFailures: number;
}

export interface Decision {
  readonly state: Supervision;
  readonly actions: readonly SupervisionAction[];
}

/** All workers starting. */
export function beginSupervision(count: number): Decision {
  const workers = Array.from({ length: count }, (_, i): WorkerState => {
    return { worker: i + 1, phase: 'starting', failures: 0 };
  });
  return {
    state: { phase: 'running', workers, wasReady: false },
    actions: workers.map(({ worker }) => ({ kind: 'start', worker })),
  };
}

/** The next state and what to do. Total: an event that comes too late changes nothing. */
export function decide(
  state: Supervision,
  event: SupervisionEvent,
  limits: SupervisionLimits,
): Decision {
  if (state.phase === 'ended') return noAction(state);
  if (event.kind === 'stopRequested') return beginStop(state);
  if (event.kind === 'stopTimedOut') return killAll(state);
  const worker = state.workers.find((each) => each.worker === event.worker);
  if (worker === undefined) return noAction(state);
  switch (event.kind) {
    case 'ready':
      return becomeReady(state, worker, event.at);
    case 'draining':
      return beginDrain(state, worker);
    case 'failed':
      return isAlive(worker)
        ? noAction(withWorker(state, { ...worker, failure: event.failure }))
        : noAction(state);
    case 'exited':
      return becomeExited(state, worker, event, limits);
    case 'backoffElapsed':
      return startAgain(state, worker);
    case 'drainTimedOut':
      return worker.phase === 'draining'
        ? { state, actions: [{ kind: 'signal', worker: worker.worker, signal: 'SIGKILL' }] }
        : noAction(state);
  }
}

/** Has it a process? */
export function isAlive({ phase }: WorkerState): boolean {
  return phase === 'starting' || phase === 'ready' || phase === 'draining';
}

/** Nothing to do. */
function noAction(state: Supervision): Decision {
  return { state, actions: [] };
}

function withWorker(state: Supervision, changed: WorkerState): Supervision {
  const workers = state.workers.map((each) => (each.worker === changed.worker ? changed : each));
  return { ...state, workers };
}

function becomeReady(state: Supervision, worker: WorkerState, at: number): Decision {
  if (worker.phase !== 'starting') return noAction(state);
  const next = withWorker(state, { ...worker, phase: 'ready', readyAt: at });
  const complete = next.workers.every(({ phase }) => phase === 'ready');
  if (!complete || state.wasReady || state.phase !== 'running') return noAction(next);
  return { state: { ...next, wasReady: true }, actions: [{ kind: 'announceReady' }] };
}

function beginDrain(state: Supervision, worker: WorkerState): Decision {
  if (worker.phase !== 'starting' && worker.phase !== 'ready') return noAction(state);
  return {
    state: withWorker(state, { ...worker, phase: 'draining' }),
    actions: state.phase === 'running' ? [{ kind: 'timeDrain', worker: worker.worker }] : [],
  };
}

function becomeExited(
  state: Supervision,
  worker: WorkerState,
  { exit, at }: { readonly exit: WorkerExit; readonly at: number },
  limits: SupervisionLimits,
): Decision {
  if (!isAlive(worker)) return noAction(state);
  if (state.phase === 'stopping') {
    return endWhenAllGone(withWorker(state, { ...worker, phase: 'gone' }));
  }
  const { worker: number, failures: before } = worker;
  const waiting: WorkerState = { worker: number, phase: 'waiting', failures: before };
  if (worker.phase === 'draining') {
    // It did its work to the end: no failure. The wait still bounds how often this can happen.
    return {
      state: withWorker(state, waiting),
      actions: [{ kind: 'startLater', worker: number, attempt: 1 }],
    };
  }
  const healthy = worker.readyAt !== undefined && at - worker.readyAt >= limits.healthyMs;
  const failures = (healthy ? 0 : before) + 1;
  const hopeless = !state.wasReady && worker.failure?.domain === 'user';
  if (hopeless || failures >= limits.maxFailures) {
    const failure = { worker: number, failures, exit, cause: worker.failure };
    return beginStop({ ...withWorker(state, { ...waiting, failures }), failure });
  }
  return {
    state: withWorker(state, { ...waiting, failures }),
    actions: [{ kind: 'startLater', worker: number, attempt: failures }],
  };
}

function startAgain(state: Supervision, worker: WorkerState): Decision {
  if (state.phase !== 'running' || worker.phase !== 'waiting') return noAction(state);
  return {
    state: withWorker(state, { ...worker, phase: 'starting' }),
    actions: [{ kind: 'start', worker: worker.worker }],
  };
}

function beginStop(state: Supervision): Decision {
  if (state.phase !== 'running') return noAction(state);
  const alive = state.workers.filter(isAlive);
  const workers = state.workers.map((each) =>
    isAlive(each) ? each : { ...each, phase: 'gone' as const },
  );
  const stopping: Supervision = { ...state, phase: 'stopping', workers };
  if (alive.length === 0) return endWhenAllGone(stopping);
  return {
    state: stopping,
    actions: [
      ...alive.map(({ worker }) => ({ kind: 'signal', worker, signal: 'SIGTERM' }) as const),
      { kind: 'timeStop' },
    ],
  };
}

function killAll(state: Supervision): Decision {
  if (state.phase !== 'stopping') return noAction(state);
  const actions = state.workers
    .filter(isAlive)
    .map(({ worker }) => ({ kind: 'signal', worker, signal: 'SIGKILL' }) as const);
  return { state, actions };
}

function endWhenAllGone(state: Supervision): Decision {
  if (state.workers.some(isAlive)) return noAction(state);
  return { state: { ...state, phase: 'ended' }, actions: [{ kind: 'end' }] };
}
