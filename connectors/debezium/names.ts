import { ReachflowError } from '../../runtime/errors.ts';
import { isTopicName, type TopicName } from '../../schemas/topics.ts';
import type { CaptureConfig } from './config.ts';

/** Names that belong to one capture; two captures of one database share none of them. */
export interface CaptureNames {
  readonly connector: string;
  readonly slot: string;
  readonly publication: string;
  /** Debezium's name for the server: its own topics (heartbeat, notification) begin with it. */
  readonly topicPrefix: string;
  /** What the topics of captured tables begin with, whichever source they are from. */
  readonly tablePrefix: string;
  /** `<schema>.<table>` of the signalling table; undefined where there is none. */
  readonly signalTable: string | undefined;
  /** Logical name of the topic in which Debezium says how far a snapshot is. */
  readonly notificationTopic: string;
}

const POSTGRES_MAX_NAME = 63;

/** The part before the dot: a schema of Postgres, a database of MySQL. */
export function schemaOf(table: string): string {
  return table.slice(0, table.indexOf('.'));
}

/** Where the signalling table is: where it says, else beside the first table whose schema is no pattern. */
function signalTableOf({ signalTable, tables, shards }: CaptureConfig): string | undefined {
  if (signalTable === '' || signalTable.includes('.')) return signalTable || undefined;
  const names = tables.map((table) => (shards[table] ?? table).replaceAll('\\', ''));
  const schema = names.map(schemaOf).find((name) => /^[a-z_][a-z0-9_]*$/i.test(name));
  return schema === undefined ? undefined : `${schema}.${signalTable}`;
}

/**
 * @param source the name of one of `debezium.sources`; empty for the section itself.
 * @throws ReachflowError `CDC_NAME_TOO_LONG` when Postgres would cut a name.
 */
export function captureNames(config: CaptureConfig, namespace: string, source = ''): CaptureNames {
  const sqlPrefix =
    namespace === '' ? '' : `${namespace.toLowerCase().replaceAll(/[^a-z0-9_]/g, '_')}_`;
  const logicalPrefix = source === '' ? 'cdc' : `cdc.${source}`;
  const physical = (name: string) => (namespace === '' ? name : `${namespace}.${name}`);
  const names = {
    connector: namespace === '' ? config.connectorName : `${namespace}-${config.connectorName}`,
    slot: `${sqlPrefix}${config.slot}`,
    publication: `${sqlPrefix}${config.publication}`,
    topicPrefix: physical(logicalPrefix),
    tablePrefix: physical('cdc'),
    signalTable: signalTableOf(config),
    notificationTopic: `${logicalPrefix}.notification`,
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
export function capturedTopics(config: Pick<CaptureConfig, 'tables'>): TopicName[] {
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
