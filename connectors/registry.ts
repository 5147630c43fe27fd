import type { Logger } from 'pino';
import type { KafkaClient } from '../runtime/kafka/client.ts';
import type { Publisher } from '../runtime/kafka/publisher.ts';
import type { Metrics } from '../runtime/observability/metrics.ts';
import type { Tracing } from '../runtime/observability/tracing.ts';
import type { SpoolConfig } from '../runtime/spool/config.ts';
import type { Spool } from '../runtime/spool/open-spool.ts';
import type { TopicCodec } from '../schemas/codec.ts';
import type { TopicName } from '../schemas/topics.ts';
import type { Connector } from './connector.ts';
import type { ConnectConfig, DebeziumConfig } from './debezium/config.ts';
import type { ConnectorEnvironment } from './debezium/connector-config.ts';
import { createDebeziumConnector } from './debezium/debezium-connector.ts';
import type { FileConfig } from './file/config.ts';
import { createFileConnector } from './file/file-connector.ts';
import type { WebhookConfig } from './webhook/config.ts';
import { createWebhookConnector } from './webhook/webhook-connector.ts';

/** The sections of the configuration that connectors read. */
export interface ConnectorConfigs {
  readonly webhook: WebhookConfig;
  readonly debezium: DebeziumConfig;
  readonly connect: ConnectConfig;
  readonly file: FileConfig;
}

/** What a process offers its connectors. */
export interface ConnectorServices extends ConnectorEnvironment {
  readonly client: KafkaClient;
  readonly codec: TopicCodec;
  readonly publisher: Publisher;
  /** A publisher that goes on while the brokers are away; the connector closes it. */
  readonly openSpool?: (topic: TopicName, config: SpoolConfig) => Promise<Spool>;
  readonly logger: Logger;
  readonly metrics?: Metrics | undefined;
  readonly tracing?: Tracing | undefined;
}

export interface ConnectorRegistration {
  /** Also the section of its configuration. */
  readonly name: string;
  create(configs: ConnectorConfigs, services: ConnectorServices): Connector;
}

/** Every connector there is. Adding one: its folder, and its entry here. */
export const connectors: readonly ConnectorRegistration[] = [
  {
    name: 'webhook',
    create: ({ webhook }, services) => createWebhookConnector(webhook, services),
  },
  {
    name: 'file',
    create: ({ file }, services) => createFileConnector(file, services),
  },
  {
    name: 'debezium',
    create: ({ debezium, connect }, services) =>
      createDebeziumConnector(debezium, { ...services, connect }),
  },
];
