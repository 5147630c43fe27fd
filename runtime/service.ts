/** What `reachflow status` and the health endpoints say of a part that talks to the outside. */
export interface ServiceStatus {
  readonly name: string;
  readonly state: 'starting' | 'running' | 'degraded' | 'failed' | 'stopped';
  /** One line for people: where it listens, which task failed and why. */
  readonly detail: string;
}

/** A part of a process that is started and stopped. */
export interface Service {
  readonly name: string;
  /** Resolves once it does its work. Idempotent. @throws ReachflowError naming what to fix. */
  start(): Promise<void>;
  /** Accepts nothing more, finishes what was accepted, releases everything. Idempotent. */
  stop(): Promise<void>;
  status(): Promise<ServiceStatus>;
}

/** What a started service is, until it is closed. */
export interface ServiceWork {
  /** One line for people: where it listens, what it follows. */
  detail(): string;
  /** Why it does not take everything at present; undefined when it does. */
  trouble?(): string | undefined;
  /** Accepts nothing more, finishes what was accepted, releases everything. Called once. */
  close(): Promise<void>;
}

/**
 * A service around its work: starts and stops in turn, however often and at once they are called, and the state that
 * follows from it. `open` is called for each start.
 */
export function serviceOf(name: string, open: () => Promise<ServiceWork>): Service {
  let work: ServiceWork | undefined;
  let starting: Promise<void> | undefined;
  let stopping: Promise<void> | undefined;
  const begin = async () => {
    work = await open();
  };
  const end = async (ended: ServiceWork) => {
    try {
      await ended.close();
    } finally {
      work = undefined;
    }
  };
  const state = (): Omit<ServiceStatus, 'name'> => {
    if (starting !== undefined) return { state: 'starting', detail: 'it is starting' };
    if (work === undefined) return { state: 'stopped', detail: 'it is not started' };
    const trouble = stopping === undefined ? work.trouble?.() : 'it is shutting down';
    if (trouble === undefined) return { state: 'running', detail: work.detail() };
    return { state: 'degraded', detail: `${work.detail()}; ${trouble}` };
  };
  return {
    name,
    async start() {
      await stopping;
      if (work !== undefined) return;
      starting ??= begin().finally(() => {
        starting = undefined;
      });
      await starting;
    },
    async stop() {
      await starting?.catch(() => undefined);
      if (work === undefined) return;
      stopping ??= end(work).finally(() => {
        stopping = undefined;
      });
      await stopping;
    },
    status: async () => ({ name, ...state() }),
  };
}
