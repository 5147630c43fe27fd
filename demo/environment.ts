import { join } from 'node:path';
import type { StackEndpoints } from '../compose/endpoints.ts';
import { BODY_LIMIT_BYTES, type DemoSecrets, demoSources } from './input/sources.ts';

/** The environment in which the product finds the engines. */
export function endpointsEnvironment(endpoints: StackEndpoints): Record<string, string> {
  const { kafka, registry, connect, postgres, clickhouse, elasticsearch } = endpoints;
  return {
    REACHFLOW_KAFKA_BROKERS: JSON.stringify(kafka.brokers),
    REACHFLOW_REGISTRY_URL: registry.url,
    REACHFLOW_CONNECT_URL: connect.url,
    REACHFLOW_POSTGRES_URL: postgres.url,
    REACHFLOW_CLICKHOUSE_URL: clickhouse.url,
    REACHFLOW_CLICKHOUSE_USERNAME: clickhouse.username,
    REACHFLOW_CLICKHOUSE_PASSWORD: clickhouse.password,
    REACHFLOW_CLICKHOUSE_DATABASE: clickhouse.database,
    REACHFLOW_ELASTICSEARCH_URL: elasticsearch.url,
  };
}

/**
 * The environment in which the product finds the stack, and takes the demo's webhooks.
 * @param dir of the stack: tasks keep their state beside the engines' data, since it belongs to them.
 */
export function productEnvironment(
  endpoints: StackEndpoints,
  secrets: DemoSecrets,
  dir: string,
): Record<string, string> {
  return {
    ...endpointsEnvironment(endpoints),
    REACHFLOW_STATE_DIR: join(dir, 'state'),
    REACHFLOW_WEBHOOK_SPOOL_DIR: join(dir, 'spool'),
    REACHFLOW_CHECKPOINT_DIRECTORY: join(dir, 'checkpoints'),
    REACHFLOW_CLAIM_CHECK_DIRECTORY: join(dir, 'claims'),
    REACHFLOW_WEBHOOK_PORT: '0',
    REACHFLOW_WEBHOOK_BODY_LIMIT_BYTES: String(BODY_LIMIT_BYTES),
    REACHFLOW_WEBHOOK_SOURCES: JSON.stringify(demoSources(secrets)),
  };
}
