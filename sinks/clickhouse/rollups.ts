import type { TopicName } from '../../schemas/topics.ts';
import { DEDUPLICATION_WINDOW, literal, quoted } from './tables.ts';

/** A column of a roll-up. */
export interface RollupColumn {
  readonly name: string;
  readonly type: string;
  readonly comment: string;
}

/** A sum of a table's rows that a materialized view keeps: what dashboards ask for often. */
export interface Rollup {
  /** What readers name. */
  readonly name: string;
  /** Whose table it is made from: one that only grows, since a view never sees a row replaced. */
  readonly topic: TopicName;
  readonly comment: string;
  readonly columns: readonly RollupColumn[];
  readonly orderBy: readonly string[];
  readonly partitionBy: string;
  /** Sums of its own for queries that leave columns out, by name; kept by the server, chosen by it. */
  readonly projections: Readonly<Record<string, string>>;
  /** The columns, of a source's rows. @param source a table, with what restricts its rows behind `AND`. */
  readonly select: (source: { readonly from: string; readonly and: string }) => string;
}

/** Where DateTime begins and ends: an event outside is in `events`, and in no roll-up. */
const IN_DATETIME =
  "occurred_at >= toDateTime64('1970-01-01 00:00:00', 3, 'UTC') AND occurred_at < toDateTime64('2106-01-01 00:00:00', 3, 'UTC')";

const TENANT: RollupColumn = {
  name: 'tenant_id',
  type: 'LowCardinality(String)',
  comment: '',
};
const MINUTE: RollupColumn = {
  name: 'minute',
  type: "DateTime('UTC')",
  comment: 'Start of the minute that the events occurred in',
};
const EVENTS: RollupColumn = {
  name: 'events',
  type: 'SimpleAggregateFunction(sum, UInt64)',
  comment: 'How many: read with sum',
};

/**
 * Bin k of delays holds those from GAMMA^(k-1) to GAMMA^k ms, so that a percentile of bins is within 5 % of the exact one
 * (DDSketch, Masson et al., VLDB 2019): with finer bins a minute of a tenant has hardly fewer bins than events.
 */
export const DELAY_GAMMA = 1.05 / 0.95;
/** The bin of delays of 0 ms, and of less, which a sender's clock that is ahead makes. */
export const NO_DELAY_BIN = -32_768;
const DELAY = "dateDiff('millisecond', occurred_at, received_at)";
const DELAY_BIN = `if(${DELAY} > 0, toInt16(ceil(log(greatest(${DELAY}, 1)) / ${Math.log(DELAY_GAMMA)})), toInt16(${NO_DELAY_BIN}))`;

/** Every roll-up. */
export const rollups: readonly Rollup[] = [
  {
    name: 'events_by_minute',
    topic: 'event.recorded',
    comment: 'Events by tenant, minute, source and type. Read with sum(events) and GROUP BY.',
    columns: [
      TENANT,
      MINUTE,
      { name: 'source', type: 'LowCardinality(String)', comment: '' },
      { name: 'event_type', type: 'LowCardinality(String)', comment: '' },
      EVENTS,
    ],
    orderBy: ['tenant_id', 'minute', 'source', 'event_type'],
    partitionBy: 'toYYYYMM(minute)',
    projections: {
      of_all_tenants:
        'SELECT minute, source, event_type, sum(events) GROUP BY minute, source, event_type',
    },
    select: ({ from, and }) => `SELECT tenant_id, toStartOfMinute(occurred_at) AS minute, source,
  event_type, count() AS events
FROM ${from} WHERE ${IN_DATETIME}${and}
GROUP BY tenant_id, minute, source, event_type`,
  },
  {
    name: 'event_delays_by_minute',
    topic: 'event.recorded',
    comment:
      'How long after they occurred events arrived, by tenant, minute and bin of a sketch with a relative error of 5 %. Read with sum(events) and GROUP BY.',
    columns: [
      TENANT,
      MINUTE,
      {
        name: 'delay_bin',
        type: 'Int16',
        comment: `Of received_at - occurred_at: bin k is from ${DELAY_GAMMA}^(k-1) to ${DELAY_GAMMA}^k ms, ${NO_DELAY_BIN} is 0 and less`,
      },
      EVENTS,
    ],
    orderBy: ['tenant_id', 'minute', 'delay_bin'],
    partitionBy: 'toYYYYMM(minute)',
    projections: {
      of_all_tenants: 'SELECT minute, delay_bin, sum(events) GROUP BY minute, delay_bin',
    },
    select: ({ from, and }) => `SELECT tenant_id, toStartOfMinute(occurred_at) AS minute,
  ${DELAY_BIN} AS delay_bin, count() AS events
FROM ${from} WHERE ${IN_DATETIME}${and}
GROUP BY tenant_id, minute, delay_bin`,
  },
];

/** DDL of a roll-up's table. @param name qualified. @param comment of the table. */
export function rollupTableSql(name: string, rollup: Rollup, comment: string): string {
  const columns = rollup.columns.map(
    (column) =>
      `${quoted(column.name)} ${column.type}${column.comment === '' ? '' : ` COMMENT ${literal(column.comment)}`}`,
  );
  const projections = Object.entries(rollup.projections).map(
    ([projection, sql]) => `PROJECTION ${quoted(projection)} (${sql})`,
  );
  return [
    `CREATE TABLE ${name} (`,
    `  ${[...columns, ...projections].join(',\n  ')}`,
    ') ENGINE = AggregatingMergeTree',
    `PARTITION BY ${rollup.partitionBy}`,
    `ORDER BY (${rollup.orderBy.join(', ')})`,
    // Without the second a table of this engine takes no projection.
    `SETTINGS non_replicated_deduplication_window = ${DEDUPLICATION_WINDOW}, deduplicate_merge_projection_mode = 'rebuild'`,
    `COMMENT ${literal(comment)}`,
  ].join('\n');
}
