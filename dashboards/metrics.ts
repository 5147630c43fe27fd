import { GAMMA } from '../pipelines/metrics/steps/sketch.ts';
import type { Chart } from './chart.ts';
import { inRange, OF_TENANT, percentilesSql, stepMinutes, stepOf } from './sql.ts';

/** Stands for the durations that are 0: its value is too small for a double. */
const ZEROS_BIN = -100_000;

const MINUTE = 60;
const FIVE_MINUTES = 300;
const HOUR = 3_600;

/** What the pipeline metrics computes: exact, corrected by late data. */
export const metricCharts: readonly Chart[] = [
  {
    id: 'funnel',
    title: 'From received to golden',
    description:
      'Webhooks received, each once; those that were valid; golden records created or updated; enrichments that found something. Contacts also come from tables and files, so that a step can be more than the one before.',
    unit: 'count',
    kind: 'funnel',
    part: 'metrics',
    sql: `SELECT label, value FROM (
  SELECT 1 AS place, 'received' AS label, sum(total) AS value FROM error_rate FINAL
  WHERE ${OF_TENANT} AND ${inRange('window_start')}
  UNION ALL
  SELECT 2 AS place, 'valid' AS label, sum(total - errors) AS value FROM error_rate FINAL
  WHERE ${OF_TENANT} AND ${inRange('window_start')}
  UNION ALL
  SELECT 3 AS place, 'golden' AS label, sum(count) AS value FROM contact_velocity FINAL
  WHERE ${OF_TENANT} AND ${inRange('window_start')}
  UNION ALL
  SELECT 4 AS place, 'enriched' AS label, sum(found) AS value FROM enrichment_rate FINAL
  WHERE ${OF_TENANT} AND ${inRange('window_start')})
ORDER BY place`,
  },
  {
    id: 'contact-velocity',
    title: 'Contact velocity',
    description: 'Golden contacts created, updated and deleted per minute.',
    unit: 'per minute',
    kind: 'lines',
    part: 'metrics',
    sql: `SELECT time, point.1 AS series, point.2 AS value
FROM (
  SELECT ${stepOf('window_start', MINUTE)} AS time, sum(created) AS created, sum(updated) AS updated,
    sum(deleted) AS deleted
  FROM contact_velocity FINAL
  WHERE ${OF_TENANT} AND ${inRange('window_start')}
  GROUP BY time)
ARRAY JOIN [('created', created / ${stepMinutes(MINUTE)}), ('updated', updated / ${stepMinutes(MINUTE)}),
  ('deleted', deleted / ${stepMinutes(MINUTE)})] AS point
ORDER BY time, series`,
  },
  {
    id: 'enrichment-success',
    title: 'Enrichment success',
    description:
      'Share of the enrichments that found something, and of those answered without a call, by the hour.',
    unit: 'ratio',
    kind: 'lines',
    part: 'metrics',
    sql: `SELECT time, point.1 AS series, point.2 AS value
FROM (
  SELECT ${stepOf('window_start', HOUR)} AS time, sum(found) / sum(total) AS success,
    sum(cached) / sum(total) AS cached
  FROM enrichment_rate FINAL
  WHERE ${OF_TENANT} AND ${inRange('window_start')}
  GROUP BY time)
ARRAY JOIN [('success', success), ('cached', cached)] AS point
ORDER BY time, series`,
  },
  {
    id: 'api-latency',
    title: 'API latency',
    description:
      'Percentiles of how long API calls took, of all calls of a step: sketches are merged, within 1 % of the exact percentile.',
    unit: 'ms',
    kind: 'lines',
    part: 'metrics',
    sql: percentilesSql(
      GAMMA,
      `SELECT ${stepOf('window_start', MINUTE)} AS time, pair.1 AS bin, sum(pair.2) AS n
FROM api_latency FINAL
ARRAY JOIN arrayZip(arrayPushFront(bins, ${ZEROS_BIN}), arrayPushFront(bin_counts, zeros)) AS pair
WHERE ${OF_TENANT} AND ${inRange('window_start')}
GROUP BY time, bin HAVING n > 0`,
    ),
  },
  {
    id: 'api-calls',
    title: 'API calls',
    description: 'API calls per minute.',
    unit: 'per minute',
    kind: 'lines',
    part: 'metrics',
    sql: `SELECT ${stepOf('window_start', MINUTE)} AS time, 'calls' AS series,
  sum(count) / ${stepMinutes(MINUTE)} AS value
FROM api_latency FINAL
WHERE ${OF_TENANT} AND ${inRange('window_start')}
GROUP BY time ORDER BY time`,
  },
  {
    id: 'error-rate',
    title: 'Error rate',
    description:
      'Share of the webhooks received that validation rejected, by five minutes at the finest.',
    unit: 'ratio',
    kind: 'lines',
    part: 'metrics',
    sql: `SELECT ${stepOf('window_start', FIVE_MINUTES)} AS time, 'rejected' AS series,
  sum(errors) / sum(total) AS value
FROM error_rate FINAL
WHERE ${OF_TENANT} AND ${inRange('window_start')}
GROUP BY time ORDER BY time`,
  },
  {
    id: 'errors-by-tenant',
    title: 'Rejected webhooks by tenant',
    description: 'The 15 tenants with the most webhooks that validation rejected.',
    unit: 'count',
    kind: 'bars',
    part: 'metrics',
    sql: `SELECT tenant_id AS label, sum(errors) AS value
FROM error_rate FINAL
WHERE ${OF_TENANT} AND ${inRange('window_start')}
GROUP BY label HAVING value > 0 ORDER BY value DESC, label LIMIT 15`,
  },
];
