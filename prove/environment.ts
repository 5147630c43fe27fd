import type { StackEndpoints } from '../compose/endpoints.ts';
import { endpointsEnvironment } from '../demo/environment.ts';
import { ledgerTables } from './load/ledger-load.ts';
import { proveSources } from './load/webhook-load.ts';

/** Shorter than by default: a short run has several, and does not wait for a minute after each outage. */
const CHECKPOINT_MS = 10_000;
const BREAKER_OPEN_MS = 2_000;

/** The environment in which the workers find the engines, and take the load. */
export function proveEnvironment(
  endpoints: StackEndpoints,
  secret: string,
  sessionMs: number,
): Record<string, string> {
  return {
    ...endpointsEnvironment(endpoints),
    REACHFLOW_KAFKA_SESSION_TIMEOUT_MS: String(sessionMs),
    REACHFLOW_PIPELINES_OPTIONAL: JSON.stringify(['ledger']),
    REACHFLOW_DEBEZIUM_TABLES: JSON.stringify([
      'public.contacts',
      'public.companies',
      'public.events',
      ...ledgerTables,
    ]),
    REACHFLOW_WEBHOOK_PORT: '0',
    REACHFLOW_OBSERVABILITY_PORT: '0',
    REACHFLOW_WEBHOOK_SOURCES: JSON.stringify(proveSources(secret)),
    REACHFLOW_CHECKPOINT_INTERVAL_MS: String(CHECKPOINT_MS),
    REACHFLOW_DELIVERY_BREAKER_OPEN_MS: String(BREAKER_OPEN_MS),
  };
}

/** Where a worker's log goes; of its last life. */
export function workerLogFile(dir: string, worker: number): string {
  return `${dir}/prove/worker-${worker}.log`;
}
