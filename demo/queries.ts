import { resolve } from 'node:path';
import { stackConfigSchema } from '../compose/config.ts';
import type { StackEndpoints } from '../compose/endpoints.ts';

/** A shell word: quoted where the shell would take it apart. */
function word(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

export interface Query {
  readonly title: string;
  /** A command to copy into a shell. */
  readonly command: string;
}

/**
 * What to ask the three stores and the DLQ, with the endpoints of this stack.
 * @param stackDir where the stack is; commands of the CLI look in the default place by themselves.
 */
export function queries(endpoints: StackEndpoints, stackDir: string): readonly Query[] {
  const { postgres, clickhouse, elasticsearch } = endpoints;
  const login = `${clickhouse.username}:${clickhouse.password}`;
  const auth = login === 'default:' ? '' : `-u ${word(login)} `;
  const isDefault = resolve(stackDir) === resolve(stackConfigSchema.parse({}).dir);
  const elsewhere = isDefault ? '' : `REACHFLOW_STACK_DIR=${word(stackDir)} `;
  const ask = (sql: string) =>
    `curl -s ${auth}${word(`${clickhouse.url}/?database=${clickhouse.database}`)} --data-binary ${word(sql)}`;
  return [
    {
      title: 'Postgres: the newest contacts with their companies',
      command: `psql ${word(postgres.url)} -c ${word(
        'SELECT id, full_name, email, company FROM reachflow.contacts ORDER BY updated_at DESC LIMIT 5',
      )}`,
    },
    {
      title: 'ClickHouse: events by source and type',
      command: ask(
        'SELECT source, event_type, count() FROM events FINAL GROUP BY 1, 2 ORDER BY 3 DESC LIMIT 10 FORMAT PrettyCompact',
      ),
    },
    {
      title: 'ClickHouse: events per tenant and minute',
      command: ask(
        'SELECT window_start, tenant_id, count FROM tenant_counts FINAL ORDER BY window_start DESC, count DESC LIMIT 10 FORMAT PrettyCompact',
      ),
    },
    {
      title: 'Elasticsearch: a search by a part of a name',
      command: `curl -s ${word(`${elasticsearch.url}/contacts/_search?q=full_name.ngram:hopp&size=3&pretty`)}`,
    },
    {
      title: 'What could not be processed, and why',
      command: `${elsewhere}npx reachflow dlq list`,
    },
  ];
}

/** The queries as lines to print. */
export function queryLines(endpoints: StackEndpoints, stackDir: string): string[] {
  return [
    'To try:',
    ...queries(endpoints, stackDir).flatMap(({ title, command }) => [
      `  # ${title}`,
      `  ${command}`,
    ]),
  ];
}
