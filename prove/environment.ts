import type { StackEndpoints } from '../compose/endpoints.ts';
import { endpointsEnvironment } from '../demo/environment.ts';
import type { StoreLinks } from './links.ts';
import { ledgerTables } from './load/ledger-load.ts';
import { proveSources } from './load/webhook-load.ts';

/** Shorter than by default: a short run has several. */
const CHECKPOINT_MS = 10_000;
/** Shorter than by default: a run of short faults does not wait for a minute after each. */
const BREAKER_OPEN_MS = 2_000;

export interface EnvironmentOptions {
  /** Of the source database, which Kafka Connect reaches directly. */
  readonly endpoints: StackEndpoints;
  readonly links: StoreLinks;
  /** That webhooks are signed with. */
  readonly secret: string;
  readonly sessionMs: number;
  /** Breakers are as by default: stores are away for as long as they stay open. */
  readonly hasOutages: boolean;
}

/** The environment in which the workers find the engines, and take the load. */
export function proveEnvironment({
  endpoints,
  links,
  secret,
  sessionMs,
  hasOutages,
}: EnvironmentOptions): Record<string, string> {
  const breaker = { REACHFLOW_DELIVERY_BREAKER_OPEN_MS: String(BREAKER_OPEN_MS) };
  return {
    ...endpointsEnvironment(links.endpoints),
    REACHFLOW_DEBEZIUM_WORKER_DATABASE_URL: endpoints.postgres.url,
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
    ...(hasOutages ? {} : breaker),
  };
}

/** Where a worker's log goes; of its last life. */
export function workerLogFile(dir: string, worker: number): string {
  return `${dir}/prove/worker-${worker}.log`;
}
