import type { Logger } from 'pino';
import type { ObservabilityConfig } from '../../runtime/observability/config.ts';
import { NO_PARTS, startObservability } from '../../runtime/observability/observability.ts';
import { VERSION } from '../version.ts';
import type { WorkersConfig } from './config.ts';
import { type StartWorker, Supervisor } from './supervisor.ts';

export interface RunSupervisorOptions {
  readonly count: number;
  readonly config: {
    readonly workers: WorkersConfig;
    readonly observability: ObservabilityConfig;
    readonly kafka: { readonly namespace: string };
  };
  readonly logger: Logger;
  /** How workers are started, given the port on which the supervisor can be observed. */
  readonly workers: (port: number | undefined) => StartWorker;
  /** Resolves, with the reason, when all of it shall end. */
  readonly until: Promise<string>;
}

/**
 * Runs `count` workers until `until`, with a report of them over HTTP: the supervisor works on no data, so health and
 * metrics of the work itself are those of its workers.
 * @throws ReachflowError as `Supervisor.run`, and `OBSERVABILITY_LISTEN_FAILED`.
 */
export async function runSupervisor(options: RunSupervisorOptions): Promise<void> {
  const { count, config, logger, workers, until } = options;
  const observability = await startObservability({
    config: config.observability,
    namespace: config.kafka.namespace,
    version: VERSION,
    logger,
  });
  const { process: observed, url } = observability;
  const supervisor = new Supervisor({
    count,
    config: config.workers,
    logger,
    startWorker: workers(url === undefined ? undefined : Number(new URL(url).port)),
    onChange: () => {
      observed.phase = supervisor.phase;
    },
  });
  observed.show({ ...NO_PARTS, workers: () => supervisor.workers() });
  try {
    await supervisor.run(until);
  } finally {
    await observability.close();
  }
}
