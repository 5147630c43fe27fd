import { topics } from '../../schemas/topics.ts';
import type { CaptureConfig } from './config.ts';
import { mysqlSettings } from './mysql-settings.ts';
import { type CaptureNames, capturedTopics, captureNames } from './names.ts';
import { postgresSettings } from './postgres-settings.ts';
import { literal, routeSettings } from './routes.ts';

/** What the connector's configuration depends on besides its own section. */
export interface ConnectorEnvironment {
  /** `postgres://user:password@host:port/database`, as we reach it; where `debezium.databaseUrl` is absent. */
  readonly databaseUrl: string;
  /** Base of the registry's Confluent API, as we reach it. */
  readonly registryUrl: string;
  /** `kafka.brokers`, as we reach them. */
  readonly brokers: readonly string[];
  /** `kafka.namespace`; empty is none. */
  readonly namespace: string;
  /** `kafka.partitions`; 0 takes each topic's production figure. */
  readonly partitions: number;
  readonly replicationFactor: number;
}

/** How long what Debezium says of its snapshots is kept, ms. */
const NOTIFICATION_RETENTION_MS = 7 * 86_400_000;

/**
 * Connect sends one request at a time, by default as soon as 16 KB are there: 2,048 rows are some ten round trips. With
 * large batches they are one or two. Nothing waits for a batch to fill: each poll ends its transaction with a flush.
 */
const producerSettings = {
  'producer.override.batch.size': '262144',
  'producer.override.linger.ms': '100',
};

/** Connect creates the topics by the map's figures, unless they exist already. */
function topicCreation(
  config: CaptureConfig,
  env: ConnectorEnvironment,
  names: CaptureNames,
): Record<string, string> {
  const replication = String(env.replicationFactor);
  const created: Record<string, string> = {
    'topic.creation.default.partitions': '1',
    'topic.creation.default.replication.factor': replication,
  };
  const groups: string[] = [];
  for (const topic of capturedTopics(config)) {
    const spec = topics[topic];
    const table = topic.slice('cdc.'.length);
    const group = table.replaceAll('.', '_');
    const prefix = `topic.creation.${group}`;
    groups.push(group);
    created[`${prefix}.include`] = literal(`${names.tablePrefix}.${table}`);
    created[`${prefix}.partitions`] = String(
      env.partitions === 0 ? spec.partitions : env.partitions,
    );
    created[`${prefix}.replication.factor`] = replication;
    created[`${prefix}.cleanup.policy`] = spec.cleanup;
    created[`${prefix}.retention.ms`] = String(spec.retentionMs);
    created[`${prefix}.max.message.bytes`] = String(spec.maxMessageBytes);
  }
  const notification = {
    'topic.creation.notification.include': literal(`${names.topicPrefix}.notification`),
    'topic.creation.notification.partitions': '1',
    'topic.creation.notification.replication.factor': replication,
    'topic.creation.notification.retention.ms': String(NOTIFICATION_RETENTION_MS),
  };
  return {
    'topic.creation.groups': [...groups, 'notification'].join(','),
    ...created,
    ...notification,
  };
}

/** Signals are rows of a table, so they are in order with the changes; what becomes of them is in a topic. */
function signalling(config: CaptureConfig, names: CaptureNames): Record<string, string> {
  return {
    'notification.enabled.channels': 'sink',
    'notification.sink.topic.name': `${names.topicPrefix}.notification`,
    ...(names.signalTable === undefined
      ? {}
      : {
          'signal.enabled.channels': 'source',
          'signal.data.collection': names.signalTable,
          'incremental.snapshot.chunk.size': String(config.snapshotChunkRows),
        }),
  };
}

/**
 * The complete configuration of a Debezium connector. All values are strings, as Connect gives them back, so that
 * the two can be compared.
 * Source: Debezium 3 documentation, "Connector configuration properties"; KIP-618 for exactly once, KIP-158 for
 * topic creation.
 * @param source the name of one of `debezium.sources`; empty for the section itself.
 * @throws ReachflowError `CDC_TABLE_UNKNOWN`, `CDC_URL_INVALID`, `CDC_NAME_TOO_LONG`, `CDC_SHARDS_INVALID`.
 */
export function debeziumConnectorConfig(
  config: CaptureConfig,
  env: ConnectorEnvironment,
  source = '',
): Record<string, string> {
  const names = captureNames(config, env.namespace, source);
  const registryUrl = config.workerRegistryUrl ?? env.registryUrl;
  return {
    // One slot, or one position in the binlog, is one stream: the connector never has more than one task.
    'tasks.max': '1',
    ...(config.database === 'postgres'
      ? postgresSettings(config, env, names)
      : mysqlSettings(config, env, names)),
    'topic.prefix': names.topicPrefix,
    'snapshot.mode': config.snapshotMode,
    'poll.interval.ms': String(config.pollIntervalMs),
    'max.batch.size': String(config.maxBatchSize),
    'max.queue.size': String(4 * config.maxBatchSize),
    'tombstones.on.delete': 'true',
    'decimal.handling.mode': 'precise',
    'schema.name.adjustment.mode': 'avro',
    'field.name.adjustment.mode': 'avro',
    // Refuses to run on a worker that would not write records and offsets in one transaction.
    'exactly.once.support': 'required',
    'transaction.boundary': 'poll',
    ...producerSettings,
    // Three headers of every record would name the connector, which its topic and `source` do.
    'extended.headers.enabled': 'false',
    'key.converter': config.converterClass,
    'key.converter.schema.registry.url': registryUrl,
    'value.converter': config.converterClass,
    'value.converter.schema.registry.url': registryUrl,
    ...topicCreation(config, env, names),
    ...signalling(config, names),
    ...routeSettings(config, names),
    ...config.settings,
  };
}
