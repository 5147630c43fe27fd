import type { Logger } from 'pino';
import type { ClaimWriter } from '../runtime/claims/claim-writer.ts';
import type { KafkaClient } from '../runtime/kafka/client.ts';
import type { RegistryConfig } from '../runtime/kafka/config.ts';
import type { Publisher } from '../runtime/kafka/publisher.ts';
import type { Metrics } from '../runtime/observability/metrics.ts';
import type { Tracing } from '../runtime/observability/tracing.ts';
import type { SpoolConfig } from '../runtime/spool/config.ts';
import type { Spool } from '../runtime/spool/open-spool.ts';
import type { TopicCodec } from '../schemas/codec.ts';
import type { OptionalPart, TopicName } from '../schemas/topics.ts';
import type { ConnectorEnvironment } from './debezium/connector-config.ts';

/** What a process offers its connectors. */
export interface ConnectorServices extends ConnectorEnvironment {
  readonly publisher: Publisher;
  /** For who does not write by `publisher`: stores large payloads. Undefined where they stay in the topic. */
  readonly claims?: ClaimWriter | undefined;
  /** For who writes in transactions of its own, or keeps positions: the cluster, and the codec of its topics. */
  readonly client: KafkaClient;
  readonly codec: TopicCodec;
  /** The optional pipelines that run. */
  readonly parts?: readonly OptionalPart[];
  /** The `registry` section, for who imports in a process of its own. */
  readonly registry: RegistryConfig;
  /** A publisher that goes on while the brokers are away; the connector closes it. */
  readonly openSpool?: (topic: TopicName, config: SpoolConfig) => Promise<Spool>;
  readonly logger: Logger;
  readonly metrics?: Metrics | undefined;
  readonly tracing?: Tracing | undefined;
}
