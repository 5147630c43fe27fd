import type { ProcessReport } from './process-status.ts';

/** One part of a process, for people and probes. */
export interface PartHealth {
  readonly name: string;
  readonly healthy: boolean;
  /** Why it is not; or what it does. */
  readonly detail: string;
}

export interface Health {
  /** `degraded`: it answers the probe's question with yes, but something needs a look. */
  readonly status: 'ok' | 'degraded' | 'unavailable';
  /** Why not `ok`, one line each. */
  readonly reasons: readonly string[];
  readonly parts: readonly PartHealth[];
}

function partsOf({ tasks, sinks, connectors, workers = [] }: ProcessReport): PartHealth[] {
  return [
    ...workers.map(({ worker, phase, pid, restarts }) => ({
      name: `worker ${worker}`,
      healthy: phase === 'ready',
      detail: `${phase}${pid === undefined ? '' : `, pid ${pid}`}, restarted ${restarts} times`,
    })),
    ...connectors.map(({ name, state, detail }) => ({
      name: `connector ${name}`,
      healthy: state === 'running',
      detail: `${state}: ${detail}`,
    })),
    ...tasks.map(({ pipeline, subTopology, partition, state, failure }) => ({
      name: `task ${pipeline}.${subTopology}.${partition}`,
      healthy: failure === undefined && state !== 'failed',
      detail: failure === undefined ? state : `${state}: ${failure.code}: ${failure.message}`,
    })),
    ...sinks.map(({ name, awaySince }) => ({
      name: `sink ${name}`,
      healthy: awaySince === undefined,
      detail:
        awaySince === undefined
          ? 'delivering'
          : `its store is away since ${new Date(awaySince).toISOString()}`,
    })),
  ];
}

function healthOf(report: ProcessReport, blocking: readonly string[]): Health {
  const parts = partsOf(report);
  const unwell = parts
    .filter(({ healthy }) => !healthy)
    .map(({ name, detail }) => `${name}: ${detail}`);
  const reasons = [...new Set([...blocking, ...unwell])];
  if (blocking.length > 0) return { status: 'unavailable', reasons, parts };
  return { status: reasons.length === 0 ? 'ok' : 'degraded', reasons, parts };
}

/**
 * Should this process be restarted? Only once it gave up by itself. A failed task or a store that is away would fail
 * again after a restart, so they do not count.
 */
export function liveness(report: ProcessReport): Health {
  return healthOf(report, report.phase === 'failed' ? ['the process is failed'] : []);
}

/**
 * Should it get requests? Not before it runs, not once it stops, and not while a connector accepts nothing, or none of
 * its workers. A sick task or store does not count: what is accepted waits in its topic.
 */
export function readiness(report: ProcessReport): Health {
  const blocking = report.phase === 'running' ? [] : [`the process is ${report.phase}`];
  for (const { name, state, detail } of report.connectors) {
    if (state !== 'running' && state !== 'degraded')
      blocking.push(`connector ${name}: ${state}: ${detail}`);
  }
  if (report.workers?.every(({ phase }) => phase !== 'ready') === true)
    blocking.push('no worker is ready');
  return healthOf(report, blocking);
}

/** Is its start over? Restoring state may take minutes, in which it must not be killed for being slow. */
export function startup(report: ProcessReport): Health {
  return healthOf(report, report.phase === 'starting' ? ['the process is starting'] : []);
}
