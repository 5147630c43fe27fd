import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import type { Logger } from 'pino';
import type { ObservabilityConfig } from './config.ts';
import { createMetrics, type Metrics } from './metrics.ts';
import type {
  ConnectorState,
  ProcessIdentity,
  ProcessReport,
  ProcessStatus,
  SinkStatus,
  TaskStatus,
  WorkerStatus,
} from './process-status.ts';
import { type ObservabilityServer, startObservabilityServer } from './server.ts';
import { createTracing, type Tracing } from './tracing.ts';

/** The parts of a process, once they exist. */
export interface ObservedParts {
  tasks(): readonly TaskStatus[];
  sinks(): readonly SinkStatus[];
  connectors(): Promise<readonly ConnectorState[]>;
  /** Of a supervisor only. */
  workers?(): readonly WorkerStatus[];
}

export const NO_PARTS: ObservedParts = {
  tasks: () => [],
  sinks: () => [],
  connectors: async () => [],
};

/** This process, from its start to its end. */
export class ObservedProcess implements ProcessStatus {
  readonly identity: ProcessIdentity;
  phase: ProcessReport['phase'] = 'starting';
  #parts = NO_PARTS;

  constructor(identity: ProcessIdentity) {
    this.identity = identity;
  }

  /** As soon as they exist: what hangs in a start is then seen. */
  show(parts: ObservedParts): void {
    this.#parts = parts;
  }

  tasks(): readonly TaskStatus[] {
    return this.#parts.tasks();
  }

  sinks(): readonly SinkStatus[] {
    return this.#parts.sinks();
  }

  connectors(): Promise<readonly ConnectorState[]> {
    return this.#parts.connectors();
  }

  workers(): readonly WorkerStatus[] | undefined {
    return this.#parts.workers?.();
  }
}

/** What a process is seen by from outside. Made first, closed last. */
export interface Observability {
  readonly process: ObservedProcess;
  readonly metrics: Metrics;
  readonly tracing: Tracing;
  /** Base URL on this host; undefined when it is not enabled. Its port is to be announced: see `announce`. */
  readonly url: string | undefined;
  /** Sends the last spans, and listens no more; takes a few seconds at most. Idempotent. */
  close(): Promise<void>;
}

export interface ObservabilityOptions {
  readonly config: ObservabilityConfig;
  readonly namespace: string;
  /** Of a supervisor, 1…; absent without one. */
  readonly worker?: number | undefined;
  /** Where that supervisor can be observed. */
  readonly supervisorPort?: number | undefined;
  /** Of the package. */
  readonly version: string;
  readonly logger: Logger;
}

/** @throws ReachflowError `OBSERVABILITY_LISTEN_FAILED`. */
export async function startObservability({
  config,
  namespace,
  worker,
  supervisorPort,
  version,
  logger,
}: ObservabilityOptions): Promise<Observability> {
  const instance = randomUUID();
  const observed = new ObservedProcess({
    instance,
    pid: process.pid,
    host: hostname(),
    namespace,
    version,
    startedAt: Date.now(),
    ...(worker === undefined ? {} : { worker }),
    ...(supervisorPort === undefined ? {} : { supervisorPort }),
  });
  const metrics = createMetrics({ version });
  metrics.watch(observed);
  const log = logger.child({ component: 'observability' });
  let server: ObservabilityServer | undefined;
  if (config.enabled) {
    server = await startObservabilityServer({ config, status: observed, metrics, logger: log });
  }
  const tracing = createTracing({ config, version, instance, logger: log });
  return {
    process: observed,
    metrics,
    tracing,
    url: server?.url,
    async close() {
      await Promise.all([tracing.close(), server?.close()]);
    },
  };
}
