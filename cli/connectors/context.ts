import type { Capture } from '../../connectors/debezium/capture.ts';
import {
  type ConnectClient,
  createConnectClient,
} from '../../connectors/debezium/connect-client.ts';
import { createCaptures } from '../../connectors/debezium/debezium-connector.ts';
import { ReachflowError } from '../../runtime/errors.ts';
import type { KafkaClient } from '../../runtime/kafka/client.ts';
import { createLogger } from '../../runtime/observability/logger.ts';
import { createSchemaRegistryClient, type SchemaRegistryClient } from '../../schemas/registry.ts';
import { loadAppConfig } from '../config.ts';
import { connectorEnvironment, kafkaOf } from '../product.ts';

/** What every command of the connectors has. */
export interface ConnectorsContext {
  /** Those of the configuration. */
  readonly captures: readonly Capture[];
  readonly connect: ConnectClient;
  readonly kafka: KafkaClient;
  readonly registry: SchemaRegistryClient;
}

/** @param file the configuration, where one is named. Connects to nothing. */
export async function openConnectors(file: string | undefined): Promise<ConnectorsContext> {
  const { config } = await loadAppConfig(file === undefined ? {} : { file });
  // What is retried is of no interest here: what fails in the end is thrown.
  const logger = createLogger({ ...config.log, level: 'silent' });
  const deps = { ...connectorEnvironment(config), connect: config.connect, logger };
  return {
    captures: createCaptures(config.debezium, deps),
    connect: createConnectClient(config.connect, logger),
    kafka: kafkaOf(config, logger).client,
    registry: createSchemaRegistryClient(config.registry.url),
  };
}

const nameOf = (capture: Capture): string => capture.names.connector;

/** The configured captures of these names; all of them for none. @throws ReachflowError `CONNECTOR_UNKNOWN`. */
export function capturesNamed(
  { captures }: Pick<ConnectorsContext, 'captures'>,
  names: readonly string[],
): readonly Capture[] {
  const unknown = names.filter((name) => !captures.some((capture) => nameOf(capture) === name));
  if (unknown.length === 0) {
    return names.length === 0
      ? captures
      : captures.filter((capture) => names.includes(nameOf(capture)));
  }
  throw new ReachflowError(`the configuration has no connector ${unknown.join(', ')}`, {
    code: 'CONNECTOR_UNKNOWN',
    domain: 'user',
    hint: `It has: ${captures.map(nameOf).join(', ')}; debezium.sources adds more.`,
  });
}

/** The one capture that a command is about. @throws ReachflowError `CONNECTOR_UNKNOWN`, `CONNECTOR_AMBIGUOUS`. */
export function captureFor(
  context: Pick<ConnectorsContext, 'captures'>,
  name: string | undefined,
  tables: readonly string[],
): Capture {
  const named = capturesNamed(context, name === undefined ? [] : [name]);
  const fitting =
    named.length === 1
      ? named
      : named.filter(({ config }) => tables.some((table) => config.tables.includes(table)));
  const [capture] = fitting;
  if (capture !== undefined && fitting.length === 1) return capture;
  const found = fitting.length === 0 ? 'no configured connector' : 'more than one connector';
  throw new ReachflowError(`${found} captures ${tables.join(', ') || 'that'}`, {
    code: 'CONNECTOR_AMBIGUOUS',
    domain: 'user',
    hint: `Say which: --connector ${named.map(nameOf).join(' or --connector ')}.`,
  });
}
