import { resolve } from 'node:path';
import { z } from 'zod';
import { stackConfigSchema } from '../compose/config.ts';
import { readEndpoints, readWorkerUrls, type StackEndpoints } from '../compose/stack.ts';
import { connectorConfigSections } from '../connectors/registry.ts';
import { consoleConfigSchema } from '../console/config.ts';
import { archiveConfigSchema } from '../history/archive/config.ts';
import { pipelinesConfigSchema } from '../pipelines/config.ts';
import { enrichmentConfigSchema } from '../pipelines/enrichment/config.ts';
import { checkpointConfigSchema } from '../runtime/checkpoint/config.ts';
import { claimCheckConfigSchema } from '../runtime/claims/config.ts';
import type { Environment } from '../runtime/config/collection.ts';
import { type LoadedConfig, loadConfig } from '../runtime/config/load.ts';
import type { ConfigSource } from '../runtime/config/problem.ts';
import { deliveryConfigSchema } from '../runtime/delivery/config.ts';
import { ReachflowError } from '../runtime/errors.ts';
import { kafkaConfigSchema, registryConfigSchema } from '../runtime/kafka/config.ts';
import { logConfigSchema, observabilityConfigSchema } from '../runtime/observability/config.ts';
import { stateConfigSchema } from '../runtime/state/config.ts';
import { searchConfigSchema } from '../search/config.ts';
import { sinkConfigSections } from '../sinks/registry.ts';
import { subscriptionsConfigSchema } from '../subscriptions/config.ts';
import { workersConfigSchema } from './workers/config.ts';

/** The whole configuration: every section there is. */
export const appConfigSchema = z.strictObject({
  kafka: kafkaConfigSchema,
  registry: registryConfigSchema,
  ...connectorConfigSections,
  claimCheck: claimCheckConfigSchema,
  archive: archiveConfigSchema,
  subscriptions: subscriptionsConfigSchema,
  console: consoleConfigSchema,
  search: searchConfigSchema,
  pipelines: pipelinesConfigSchema,
  enrichment: enrichmentConfigSchema,
  delivery: deliveryConfigSchema,
  state: stateConfigSchema,
  checkpoint: checkpointConfigSchema,
  workers: workersConfigSchema,
  ...sinkConfigSections,
  stack: stackConfigSchema,
  log: logConfigSchema,
  observability: observabilityConfigSchema,
});

export type AppConfig = z.output<typeof appConfigSchema>;

/** REACHFLOW_ variables that are read elsewhere and are no settings; one that ends in `_` is a prefix. */
const RESERVED_ENV = [
  // Which worker of which supervisor a process is: cli/workers/cluster.ts.
  'REACHFLOW_WORKER',
  'REACHFLOW_SUPERVISOR_PORT',
  // Stack traces of errors: cli/errors.ts.
  'REACHFLOW_DEBUG',
  // Engines and log level of the test suite: tests/.
  'REACHFLOW_TEST_',
  // Ports that compose/docker-compose.yml publishes.
  'REACHFLOW_DOCKER_',
];

export interface AppConfigOptions {
  /** The file to read; else REACHFLOW_CONFIG, else `reachflow.config.*` in the working directory. */
  readonly file?: string;
  /** The process's own when absent. */
  readonly env?: Environment;
  readonly cwd?: string;
}

/**
 * The configuration of a command: environment over file over the endpoints of the running stack over defaults.
 * @throws ConfigError with everything that is wrong with it.
 */
export async function loadAppConfig(
  options: AppConfigOptions = {},
): Promise<LoadedConfig<AppConfig>> {
  const cwd = options.cwd ?? process.cwd();
  const common = {
    env: options.env ?? process.env,
    cwd,
    reservedEnv: RESERVED_ENV,
    ...(options.file === undefined ? {} : { file: options.file }),
  };
  const plain = loadConfig(appConfigSchema, common);
  const { engine, dir } = plain.config.stack;
  const endpoints = engine === 'external' ? undefined : runningEndpoints(resolve(cwd, dir));
  if (endpoints === undefined) return plain;
  return loadConfig(appConfigSchema, {
    ...common,
    overlay: {
      ...stackOverlay(endpoints, plain.sources),
      ...workerOverlay(resolve(cwd, dir)),
    },
  });
}

function runningEndpoints(dir: string): StackEndpoints | undefined {
  try {
    return readEndpoints(dir);
  } catch (error) {
    // `stack status` reports it and `stack reset` repairs it: neither could, if it failed here.
    if (error instanceof ReachflowError && error.code === 'STACK_STATE_INVALID') return undefined;
    throw error;
  }
}

/** Database, registry and brokers as a Connect worker in a container reaches them: not by our loopback address. */
function workerOverlay(dir: string): Record<string, Record<string, unknown>> {
  const urls = readWorkerUrls(dir);
  if (urls === undefined) return {};
  const { database, registry, brokers } = urls;
  return {
    debezium: {
      workerDatabaseUrl: database,
      workerRegistryUrl: registry,
      workerBrokers: [...brokers],
    },
  };
}

/**
 * The sections that a running stack gives. One whose address was set elsewhere is left out as a whole: user and
 * password of one server are of no use at another.
 */
export function stackOverlay(
  endpoints: StackEndpoints,
  sources: Readonly<Record<string, ConfigSource>>,
): Record<string, Record<string, unknown>> {
  const given = (key: string) => sources[key] !== undefined && sources[key].kind !== 'default';
  const sections = Object.entries(endpoints).filter(
    ([section]) => !given(`${section}.url`) && !given(`${section}.brokers`),
  );
  return Object.fromEntries(sections.map(([section, values]) => [section, { ...values }]));
}
