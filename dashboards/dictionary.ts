import {
  optionalParts,
  storeOf,
  type TopicName,
  type TopicSpec,
  topics,
} from '../schemas/topics.ts';
import { type Rollup, rollups } from '../sinks/clickhouse/rollups.ts';
import { clickhouseTables, type Table } from '../sinks/clickhouse/tables.ts';
import { charts } from './charts.ts';

/** The data dictionary of ClickHouse, from the schemas, the sink's tables, the roll-ups and the charts. */

const UPSERT =
  'A row per key: read with `FINAL`, which keeps the newest version of each and leaves deleted ones out. Exact with it at any time.';
const APPEND =
  'A row per record, written exactly once: `count()` is exact without `FINAL`. Only a record that was parked or redriven beside the stream, when the process died just then, can be there twice until it is merged: `FINAL` leaves the second out.';

function row(...cells: readonly string[]): string {
  return `| ${cells.map((cell) => cell.replaceAll('|', '\\|').replaceAll('\n', ' ')).join(' | ')} |`;
}

function partOf(topic: TopicName): string {
  const { part }: TopicSpec = topics[topic];
  return part === undefined ? '' : `, there with the optional pipeline ${part}`;
}

function tableText(topic: TopicName, table: Table): string {
  const { spec } = table.model;
  const partition = table.partitionBy === undefined ? '' : `, partitioned by ${table.partitionBy}`;
  return [
    `### ${table.name}`,
    '',
    `${spec.comment} From \`${topic}\`${partOf(topic)}. Key: ${spec.key.join(', ')}. Sorted by ${table.orderBy.join(', ')}${partition}.`,
    spec.kind === 'upsert' ? UPSERT : APPEND,
    '',
    '| column | type | |',
    '| --- | --- | --- |',
    ...table.columns.map(({ name, type, comment }) => row(`\`${name}\``, `\`${type}\``, comment)),
    '',
  ].join('\n');
}

function rollupText(rollup: Rollup): string {
  const projections = Object.keys(rollup.projections);
  const kept = projections.length === 0 ? '' : ` Projections: ${projections.join(', ')}.`;
  return [
    `### ${rollup.name}`,
    '',
    `${rollup.comment} From \`${storeOf(rollup.topic)?.table}\`, sorted by ${rollup.orderBy.join(', ')}.${kept}`,
    '',
    '| column | type | |',
    '| --- | --- | --- |',
    ...rollup.columns.map(({ name, type, comment }) => row(`\`${name}\``, `\`${type}\``, comment)),
    '',
  ].join('\n');
}

const HEAD = `# Data dictionary

What analysts find in ClickHouse, in the database \`clickhouse.database\`. Made from the schemas by \`npm run generate\`.

- Times are UTC, with milliseconds. Durations are in ms where a column does not say otherwise, ratios are from 0 to 1.
- \`_topic_partition\` and \`_offset\` say which record of Kafka a row is from.
- The sink makes the tables and the roll-ups, and adds columns as schemas grow. It drops and narrows none.
- A row is there one to two seconds after its event came in (\`clickhouse.flushMs\`).

## Grafana

\`docker compose -f compose/docker-compose.yml --profile dashboards up -d --wait\` starts Grafana with these charts on
\`http://127.0.0.1:3000\`, and Prometheus. With a Grafana of your own: \`deploy/grafana/provisioning\` has the data sources, for the plugin
\`grafana-clickhouse-datasource\`, and \`deploy/grafana/dashboards\` the dashboards. Give it a user of ClickHouse that can only read. The variable
\`tenant\` is a choice, not a protection: who may see one tenant alone needs a row policy of ClickHouse, or the console.

## Windows

\`tenant_counts\`, \`contact_velocity\`, \`enrichment_rate\`, \`api_latency\` and \`error_rate\` have a row per tenant and window of
event time. A row is written when the first record of its window came, and again, with a greater \`version\`, whenever more came: the
newest is complete for what has come so far. Late records correct their window for seven days after its end, latencies for one; later
ones are in the DLQ of the pipeline with the code \`LATE\`, and counted in \`reachflow_dlq_records_total\`.
What is counted is counted once: events have been deduplicated by their id, a webhook that its sender repeats is known for
four days, golden records by their version. Enrichments are counted as their pipeline reports them, which is exactly once.

| metric | what | window | time |
| --- | --- | --- | --- |
| \`contact_velocity\` | golden records created, updated, deleted | 1 min | when the change was captured |
| \`enrichment_rate\` | enrichments that found something, of all | 1 h | when it completed |
| \`api_latency\` | P50, P95, P99 of API calls, within 1 % of the exact ones | 1 min | when the call occurred |
| \`error_rate\` | webhooks that validation rejected, of all received | 5 min | when it was received |

An **API call** is an event of the type \`api.called\` whose payload has \`duration_ms\`, a number of ms from 0 to a day:
\`{"duration_ms": 12.5}\`. Others of that type are dropped by the metric (reason \`no duration_ms\` or \`duration_ms out of range\`).
Percentiles of several windows or tenants come from merged sketches (\`bins\`, \`bin_counts\`, \`zeros\`), never from averages of percentiles:
see the query of the chart \`api-latency\` below. Durations up to 0.001 ms count as 0.

## Tables
`;

const ROLLUPS = `## Roll-ups

Sums of tables that materialized views keep. They have each row of their table that was inserted, once, in the moment it was: an insert
that comes again after a crash is dropped in them too ([ADR 9](../adr/0009-clickhouse-inserts.md)). Where a table can have a row twice until it is merged
(see there), they keep counting it; \`events FINAL\` is the reference. The name is a view: when a roll-up's definition changes, the sink makes a
new one beside the old at its start, with all rows, also while others write, and then lets the name point to it.
Start and end of a range are those of whole minutes. Events before 1970 and after 2105 are in \`events\` only.
`;

/** The document. */
export function dataDictionary(): string {
  const tables = [...clickhouseTables({ parts: optionalParts })] as [TopicName, Table][];
  const queries = charts.map(
    ({ id, title, description, unit, part, sql }) =>
      `### ${title}\n\n\`${id}\`, ${unit}${part === undefined ? '' : `, optional pipeline ${part}`}. ${description}\n\n\`\`\`sql\n${sql}\n\`\`\`\n`,
  );
  return [
    HEAD,
    ...tables.map(([topic, table]) => tableText(topic, table)),
    ROLLUPS,
    ...rollups.map(rollupText),
    '## Queries\n',
    'Those of the charts of `reachflow console` and Grafana, with parameters of the server: `tenant` (empty: all), `from` and `to`, `step` in seconds.',
    'With `clickhouse-client`: `--param_tenant acme --param_from 1767225600 --param_to 1767312000 --param_step 60`.\n',
    ...queries,
  ].join('\n');
}
