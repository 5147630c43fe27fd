import type { StackEndpoints } from '../endpoints.ts';
import {
  CLICKHOUSE_DATABASE,
  CLICKHOUSE_PASSWORD,
  CLICKHOUSE_USER,
} from './components/clickhouse.ts';
import { POSTGRES_DATABASE, POSTGRES_PASSWORD, POSTGRES_ROLE } from './components/postgres.ts';
import { REGISTRY_API_PATH } from './components/registry.ts';
import type { Ports } from './ports.ts';

/** The endpoints of embedded engines on these ports. */
export function embeddedEndpoints(ports: Ports): StackEndpoints {
  const http = (port: number): string => `http://127.0.0.1:${port}`;
  const login = `${POSTGRES_ROLE}:${POSTGRES_PASSWORD}`;
  return {
    kafka: { brokers: [`127.0.0.1:${ports.kafka}`] },
    registry: { url: `${http(ports.registry)}${REGISTRY_API_PATH}` },
    connect: { url: http(ports.connect) },
    postgres: { url: `postgres://${login}@127.0.0.1:${ports.postgres}/${POSTGRES_DATABASE}` },
    clickhouse: {
      url: http(ports.clickhouse),
      username: CLICKHOUSE_USER,
      password: CLICKHOUSE_PASSWORD,
      database: CLICKHOUSE_DATABASE,
    },
    elasticsearch: { url: http(ports.elasticsearch) },
  };
}
