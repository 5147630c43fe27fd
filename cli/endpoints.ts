import type { EngineAccess, StackEndpoints } from '../compose/endpoints.ts';
import { kafkaSecurity } from '../runtime/kafka/security.ts';
import { basicAuthorization } from '../schemas/registry.ts';
import type { AppConfig } from './config.ts';

/** Where the engines of a configuration are. Holds no login of brokers: it is printed. */
export function endpointsOf(config: AppConfig): StackEndpoints {
  const { kafka, registry, connect, postgres, clickhouse, elasticsearch } = config;
  return {
    kafka: { brokers: kafka.brokers },
    registry: { url: registry.url },
    connect: { url: connect.url },
    postgres: { url: postgres.url },
    clickhouse: {
      url: clickhouse.url,
      username: clickhouse.username,
      password: clickhouse.password,
      database: clickhouse.database,
    },
    elasticsearch: { url: elasticsearch.url },
  };
}

/** How to get into them. @throws what `kafkaSecurity` does. */
export function accessOf({ kafka, registry, connect, elasticsearch }: AppConfig): EngineAccess {
  return {
    kafka: kafkaSecurity(kafka),
    headers: {
      registry: basicAuthorization(registry),
      connect: basicAuthorization(connect),
      elasticsearch: basicAuthorization(elasticsearch),
    },
  };
}
