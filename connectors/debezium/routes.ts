import { ReachflowError } from '../../runtime/errors.ts';
import type { CaptureConfig } from './config.ts';
import type { CaptureNames } from './names.ts';

/** A regular expression that matches this text alone. */
export function literal(text: string): string {
  return text.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&');
}

/** What the tables of a capture are called in the database: regular expressions of `<schema>.<table>`. */
export function physicalTables(config: Pick<CaptureConfig, 'tables' | 'shards'>): string[] {
  return config.tables.map((table) => config.shards[table] ?? literal(table));
}

/** @throws ReachflowError `CDC_SHARDS_INVALID` for a pattern that is none, or is of a table that is not captured. */
function checkShards({ tables, shards }: CaptureConfig): void {
  for (const [table, pattern] of Object.entries(shards)) {
    let problem = tables.includes(table) ? undefined : 'is not in debezium.tables';
    try {
      new RegExp(pattern);
    } catch {
      problem = `has a pattern that is no regular expression: ${pattern}`;
    }
    if (problem === undefined) continue;
    throw new ReachflowError(`debezium.shards: ${table} ${problem}`, {
      code: 'CDC_SHARDS_INVALID',
      domain: 'user',
      hint: 'Write e.g. {"public.contacts": "public\\\\.contacts_[0-9]+"}, and public.contacts in debezium.tables.',
    });
  }
}

/**
 * Transformations that bring every table's records into the topic of its logical table: shards by Debezium's
 * ByLogicalTableRouter, which renames schemas, too; the tables of a further source by their topic alone. Records of the
 * signalling table go nowhere.
 * Source: Debezium 3 documentation, "Topic Routing".
 * @throws ReachflowError `CDC_SHARDS_INVALID`.
 */
export function routeSettings(config: CaptureConfig, names: CaptureNames): Record<string, string> {
  checkShards(config);
  const { topicPrefix, tablePrefix } = names;
  const settings: Record<string, string> = {};
  const routes: string[] = [];
  for (const [table, pattern] of Object.entries(config.shards)) {
    const name = `shards${routes.length}`;
    const perShard = config.shardKeys === 'per-shard';
    routes.push(name);
    Object.assign(settings, {
      [`transforms.${name}.type`]: 'io.debezium.transforms.ByLogicalTableRouter',
      [`transforms.${name}.topic.regex`]: `${literal(topicPrefix)}\\.(?:${pattern})`,
      [`transforms.${name}.topic.replacement`]: `${tablePrefix}.${table}`,
      [`transforms.${name}.key.enforce.uniqueness`]: String(perShard),
      ...(perShard ? { [`transforms.${name}.key.field.name`]: 'shard' } : {}),
    });
  }
  const plain = config.tables.filter((table) => config.shards[table] === undefined);
  if (topicPrefix !== tablePrefix && plain.length > 0) {
    routes.push('tables');
    Object.assign(settings, {
      'transforms.tables.type': 'org.apache.kafka.connect.transforms.RegexRouter',
      'transforms.tables.regex': `${literal(topicPrefix)}\\.(${plain.map(literal).join('|')})`,
      'transforms.tables.replacement': `${tablePrefix.replaceAll('$', '\\$')}.$1`,
    });
  }
  if (names.signalTable !== undefined) {
    // Signals are read from the log like any row, but they are no data.
    routes.push('signals');
    Object.assign(settings, {
      'transforms.signals.type': 'org.apache.kafka.connect.transforms.Filter',
      'transforms.signals.predicate': 'signals',
      predicates: 'signals',
      'predicates.signals.type': 'org.apache.kafka.connect.transforms.predicates.TopicNameMatches',
      'predicates.signals.pattern': literal(`${topicPrefix}.${names.signalTable}`),
    });
  }
  return routes.length === 0 ? {} : { transforms: routes.join(','), ...settings };
}
