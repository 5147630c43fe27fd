import { ReachflowError } from '../../runtime/errors.ts';
import { isTopicName, type TopicName, topics } from '../../schemas/topics.ts';
import type { DebeziumConfig } from './config.ts';

/** What the connector's configuration depends on besides its own section. */
export interface ConnectorEnvironment {
  /** `postgres://user:password@host:port/database`, as we reach it. */
  readonly databaseUrl: string;
  /** Base of the registry's Confluent API, as we reach it. */
  readonly registryUrl: string;
  /** `kafka.namespace`; empty is none. */
  readonly namespace: string;
  /** `kafka.partitions`; 0 takes each topic's production figure. */
  readonly partitions: number;
  readonly replicationFactor: number;
}

/** Names that belong to one capture; two captures of one database share none of them. */
export interface CaptureNames {
  readonly connector: string;
  readonly slot: string;
  readonly publication: string;
  readonly topicPrefix: string;
}

/** Marks the heartbeat's logical messages in the WAL, so that they do not become records. */
export const HEARTBEAT_MESSAGE_PREFIX = 'reachflow-heartbeat';

const POSTGRES_MAX_NAME = 63;

/** @throws ReachflowError `CDC_NAME_TOO_LONG` when Postgres would cut a name. */
export function captureNames(config: DebeziumConfig, namespace: string): CaptureNames {
  const sqlPrefix =
    namespace === '' ? '' : `${namespace.toLowerCase().replaceAll(/[^a-z0-9_]/g, '_')}_`;
  const names = {
    connector: namespace === '' ? config.connectorName : `${namespace}-${config.connectorName}`,
    slot: `${sqlPrefix}${config.slot}`,
    publication: `${sqlPrefix}${config.publication}`,
    topicPrefix: namespace === '' ? 'cdc' : `${namespace}.cdc`,
  };
  for (const name of [names.slot, names.publication]) {
    if (name.length > POSTGRES_MAX_NAME) {
      throw new ReachflowError(`the name ${name} is longer than Postgres allows (63)`, {
        code: 'CDC_NAME_TOO_LONG',
        domain: 'user',
        hint: 'Shorten kafka.namespace, debezium.slot or debezium.publication.',
      });
    }
  }
  return names;
}

/** The logical topic of each captured table. @throws ReachflowError `CDC_TABLE_UNKNOWN`. */
export function capturedTopics(config: DebeziumConfig): TopicName[] {
  return config.tables.map((table) => {
    const topic = `cdc.${table}`;
    if (isTopicName(topic)) return topic;
    throw new ReachflowError(`the topics map has no topic ${topic} for the table ${table}`, {
      code: 'CDC_TABLE_UNKNOWN',
      domain: 'user',
      hint: 'Remove the table from debezium.tables, or add its topic to schemas/topics.ts.',
    });
  });
}

/** The connection of a `postgres://` URL, as Debezium names its parts. @throws ReachflowError `CDC_URL_INVALID`. */
function databaseConfig(databaseUrl: string): Record<string, string> {
  const url = URL.canParse(databaseUrl) ? new URL(databaseUrl) : undefined;
  const database = url === undefined ? '' : decodeURIComponent(url.pathname.slice(1));
  if (url === undefined || !/^postgres(ql)?:$/.test(url.protocol) || database === '') {
    throw new ReachflowError(
      'the source database is not given as a postgres:// URL with a database',
      {
        code: 'CDC_URL_INVALID',
        domain: 'user',
        hint: 'Write postgres://user:password@host:port/database; escape special characters with %.',
      },
    );
  }
  const sslMode = url.searchParams.get('sslmode');
  return {
    'database.hostname': url.hostname.replace(/^\[(.*)\]$/, '$1'),
    'database.port': url.port === '' ? '5432' : url.port,
    'database.user': decodeURIComponent(url.username),
    'database.password': decodeURIComponent(url.password),
    'database.dbname': database,
    ...(sslMode === null ? {} : { 'database.sslmode': sslMode }),
  };
}

/** Connect creates the topics by the map's figures, unless they exist already. */
function topicCreation(config: DebeziumConfig, env: ConnectorEnvironment): Record<string, string> {
  const { topicPrefix } = captureNames(config, env.namespace);
  const created: Record<string, string> = {
    'topic.creation.default.partitions': '1',
    'topic.creation.default.replication.factor': String(env.replicationFactor),
  };
  const groups: string[] = [];
  for (const topic of capturedTopics(config)) {
    const spec = topics[topic];
    const table = topic.slice('cdc.'.length);
    const group = table.replaceAll('.', '_');
    const prefix = `topic.creation.${group}`;
    groups.push(group);
    created[`${prefix}.include`] = `${topicPrefix}.${table}`.replaceAll('.', '\\.');
    created[`${prefix}.partitions`] = String(
      env.partitions === 0 ? spec.partitions : env.partitions,
    );
    created[`${prefix}.replication.factor`] = String(env.replicationFactor);
    created[`${prefix}.cleanup.policy`] = spec.cleanup;
    created[`${prefix}.retention.ms`] = String(spec.retentionMs);
    created[`${prefix}.max.message.bytes`] = String(spec.maxMessageBytes);
  }
  return { 'topic.creation.groups': groups.join(','), ...created };
}

function heartbeat(config: DebeziumConfig): Record<string, string> {
  if (config.heartbeatIntervalMs === 0) return {};
  return {
    'heartbeat.interval.ms': String(config.heartbeatIntervalMs),
    // Writes to the WAL by itself: when other databases or tables fill it, the slot still moves on.
    'heartbeat.action.query': `SELECT pg_logical_emit_message(false, '${HEARTBEAT_MESSAGE_PREFIX}', '')`,
    'message.prefix.exclude.list': HEARTBEAT_MESSAGE_PREFIX,
  };
}

/**
 * The complete configuration of Debezium's Postgres connector. All values are strings, as Connect gives them back,
 * so that the two can be compared.
 * Source: Debezium 3 documentation, "Connector configuration properties"; KIP-618 for exactly once, KIP-158 for
 * topic creation.
 * @throws ReachflowError `CDC_TABLE_UNKNOWN`, `CDC_URL_INVALID`, `CDC_NAME_TOO_LONG`.
 */
export function debeziumConnectorConfig(
  config: DebeziumConfig,
  env: ConnectorEnvironment,
): Record<string, string> {
  const names = captureNames(config, env.namespace);
  const registryUrl = config.workerRegistryUrl ?? env.registryUrl;
  return {
    'connector.class': 'io.debezium.connector.postgresql.PostgresConnector',
    // One slot is one stream: the connector never has more than one task.
    'tasks.max': '1',
    ...databaseConfig(config.workerDatabaseUrl ?? env.databaseUrl),
    'topic.prefix': names.topicPrefix,
    'plugin.name': 'pgoutput',
    'slot.name': names.slot,
    'publication.name': names.publication,
    'publication.autocreate.mode': 'filtered',
    'table.include.list': config.tables.join(','),
    'snapshot.mode': config.snapshotMode,
    'poll.interval.ms': String(config.pollIntervalMs),
    'max.batch.size': String(config.maxBatchSize),
    'max.queue.size': String(4 * config.maxBatchSize),
    'tombstones.on.delete': 'true',
    'decimal.handling.mode': 'precise',
    // `timestamptz` is ISO 8601 text in UTC in every mode; this one is for the types without a zone.
    'time.precision.mode': 'adaptive_time_microseconds',
    'schema.name.adjustment.mode': 'avro',
    'field.name.adjustment.mode': 'avro',
    // Refuses to run on a worker that would not write records and offsets in one transaction.
    'exactly.once.support': 'required',
    'transaction.boundary': 'poll',
    'key.converter': config.converterClass,
    'key.converter.schema.registry.url': registryUrl,
    'value.converter': config.converterClass,
    'value.converter.schema.registry.url': registryUrl,
    ...topicCreation(config, env),
    ...heartbeat(config),
  };
}
