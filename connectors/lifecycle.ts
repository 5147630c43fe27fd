import type { Connector, ConnectorStatus } from './connector.ts';

/** What a started connector is, until it is closed. */
export interface ConnectorWork {
  /** One line for people: where it listens, what it follows. */
  detail(): string;
  /** Why it does not take everything at present; undefined when it does. */
  trouble?(): string | undefined;
  /** Accepts nothing more, finishes what was accepted, releases everything. Called once. */
  close(): Promise<void>;
}

/**
 * A connector around its work: starts and stops in turn, however often and at once they are called, and the state that
 * follows from it. `open` is called for each start.
 */
export function connectorOf(
  name: string,
  topics: readonly string[],
  open: () => Promise<ConnectorWork>,
): Connector {
  let work: ConnectorWork | undefined;
  let starting: Promise<void> | undefined;
  let stopping: Promise<void> | undefined;
  const begin = async () => {
    work = await open();
  };
  const end = async (ended: ConnectorWork) => {
    try {
      await ended.close();
    } finally {
      work = undefined;
    }
  };
  const state = (): Omit<ConnectorStatus, 'name'> => {
    if (starting !== undefined) return { state: 'starting', detail: 'it is starting' };
    if (work === undefined) return { state: 'stopped', detail: 'it is not started' };
    const trouble = stopping === undefined ? work.trouble?.() : 'it is shutting down';
    if (trouble === undefined) return { state: 'running', detail: work.detail() };
    return { state: 'degraded', detail: `${work.detail()}; ${trouble}` };
  };
  return {
    name,
    topics,
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
