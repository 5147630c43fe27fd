import { DELAY_GAMMA } from '../sinks/clickhouse/rollups.ts';
import type { Chart } from './chart.ts';
import { inRange, MAX_SERIES, OF_TENANT, percentilesSql, stepOf } from './sql.ts';

/** What tenants send. */
export const activityCharts: readonly Chart[] = [
  {
    id: 'events',
    title: 'Events',
    description: 'Valid, deduplicated events that occurred in the range.',
    unit: 'count',
    kind: 'number',
    sql: `SELECT sum(count) AS value FROM tenant_counts FINAL
WHERE ${OF_TENANT} AND ${inRange('window_start')}`,
  },
  {
    id: 'active-tenants',
    title: 'Active tenants',
    description: 'Tenants with at least one event in the range.',
    unit: 'count',
    kind: 'number',
    sql: `SELECT uniqExact(tenant_id) AS value FROM tenant_counts FINAL
WHERE ${OF_TENANT} AND ${inRange('window_start')}`,
  },
  {
    id: 'tenant-activity',
    title: 'Activity of tenants',
    description: `Events of the ${MAX_SERIES} tenants with the most, by the minute at the finest.`,
    unit: 'count',
    kind: 'lines',
    sql: `SELECT ${stepOf('window_start', 60)} AS time, tenant_id AS series, sum(count) AS value
FROM tenant_counts FINAL
WHERE ${OF_TENANT} AND ${inRange('window_start')} AND tenant_id IN (
  SELECT tenant_id FROM tenant_counts FINAL
  WHERE ${OF_TENANT} AND ${inRange('window_start')}
  GROUP BY tenant_id ORDER BY sum(count) DESC, tenant_id LIMIT ${MAX_SERIES})
GROUP BY time, series ORDER BY time, series`,
  },
  {
    id: 'events-by-source',
    title: 'Events by source',
    description:
      'Events by where they came from: a webhook, or a table. By the minute at the finest.',
    unit: 'count',
    kind: 'lines',
    sql: `SELECT ${stepOf('minute', 60)} AS time, source AS series, sum(events) AS value
FROM events_by_minute
WHERE ${OF_TENANT} AND ${inRange('minute')}
GROUP BY time, series ORDER BY time, series`,
  },
  {
    id: 'events-by-type',
    title: 'Events by type',
    description: 'The 15 types with the most events.',
    unit: 'count',
    kind: 'bars',
    sql: `SELECT event_type AS label, sum(events) AS value
FROM events_by_minute
WHERE ${OF_TENANT} AND ${inRange('minute')}
GROUP BY label ORDER BY value DESC, label LIMIT 15`,
  },
  {
    id: 'arrival-delay',
    title: 'Delay of arrival',
    description:
      'From when an event occurred, as its sender says, to when Reachflow had it; within 5 % of the exact percentile.',
    unit: 'ms',
    kind: 'lines',
    sql: percentilesSql(
      DELAY_GAMMA,
      `SELECT ${stepOf('minute', 60)} AS time, delay_bin AS bin, sum(events) AS n
FROM event_delays_by_minute
WHERE ${OF_TENANT} AND ${inRange('minute')}
GROUP BY time, bin`,
    ),
  },
  {
    id: 'tenants',
    title: 'Tenants',
    description: 'The 50 tenants with the most events, and the last minute they were active in.',
    unit: 'count',
    kind: 'table',
    sql: `SELECT tenant_id AS tenant, sum(count) AS events, max(window_start) AS last_active
FROM tenant_counts FINAL
WHERE ${OF_TENANT} AND ${inRange('window_start')}
GROUP BY tenant ORDER BY events DESC, tenant LIMIT 50`,
  },
];
