import type { ComponentName } from '../types.ts';

/**
 * The engines' versions as people know them. What is fetched is decided by the poms and `package.json`; a test
 * holds these against them.
 */
export const embeddedVersions = {
  kafka: '4.2.1',
  registry: 'Apicurio 3.0.9',
  connect: '4.2.1, Debezium 3.7.0',
  postgres: '18.4',
  clickhouse: '26.7',
  elasticsearch: '9.5.3',
} as const satisfies Record<ComponentName, string>;
