import type { ComponentName } from '../../types.ts';
import type { EmbeddedComponent } from '../component.ts';
import { clickhouseComponent } from './clickhouse.ts';
import { connectComponent } from './connect.ts';
import { elasticsearchComponent } from './elasticsearch.ts';
import { kafkaComponent } from './kafka.ts';
import { postgresComponent } from './postgres.ts';
import { registryComponent } from './registry.ts';

/** Every embedded engine, by name. */
export const embeddedComponents: Readonly<Record<ComponentName, EmbeddedComponent>> = {
  kafka: kafkaComponent,
  registry: registryComponent,
  connect: connectComponent,
  postgres: postgresComponent,
  clickhouse: clickhouseComponent,
  elasticsearch: elasticsearchComponent,
};
