import { API_CALL } from '../pipelines/metrics/steps/latency.ts';
import { inRange, MAX_SERIES, OF_TENANT, stepOf } from './sql.ts';

const EVENTS = `FROM events WHERE ${OF_TENANT} AND ${inRange('occurred_at')}`;

/** Of n values the one at rank ⌊q (n - 1)⌋, as a sketch has it. */
const PERCENTILES = `ARRAY JOIN [${[50, 95, 99]
  .map((p) => `('P${p}', sorted[1 + toUInt64(floor(${p / 100} * (length(sorted) - 1)))])`)
  .join(', ')}] AS point`;

/**
 * Charts of events, from the events themselves: what the roll-ups and metrics are checked against, to the record, and
 * how fast a question is that nobody foresaw. By the chart's id. Steps shorter than the chart's own are not rounded up.
 */
export const rawQueries: Readonly<Record<string, string>> = {
  events: `SELECT count() AS value ${EVENTS}`,
  'active-tenants': `SELECT uniqExact(tenant_id) AS value ${EVENTS}`,
  'tenant-activity': `SELECT ${stepOf('occurred_at')} AS time, tenant_id AS series, count() AS value
${EVENTS} AND tenant_id IN (
  SELECT tenant_id ${EVENTS} GROUP BY tenant_id ORDER BY count() DESC, tenant_id LIMIT ${MAX_SERIES})
GROUP BY time, series ORDER BY time, series`,
  'events-by-source': `SELECT ${stepOf('occurred_at')} AS time, source AS series, count() AS value
${EVENTS} GROUP BY time, series ORDER BY time, series`,
  'events-by-type': `SELECT event_type AS label, count() AS value
${EVENTS} GROUP BY label ORDER BY value DESC, label LIMIT 15`,
  'arrival-delay': `SELECT time, point.1 AS series, point.2 AS value
FROM (
  SELECT ${stepOf('occurred_at')} AS time,
    arraySort(groupArray(dateDiff('millisecond', occurred_at, received_at))) AS sorted
  ${EVENTS} GROUP BY time)
${PERCENTILES}
ORDER BY time, series`,
  tenants: `SELECT tenant_id AS tenant, count() AS events, toStartOfMinute(max(occurred_at)) AS last_active
${EVENTS} GROUP BY tenant ORDER BY events DESC, tenant LIMIT 50`,
  'api-latency': `SELECT time, point.1 AS series, point.2 AS value
FROM (
  SELECT ${stepOf('occurred_at')} AS time,
    arraySort(groupArray(JSONExtractFloat(payload, 'duration_ms'))) AS sorted
  ${EVENTS} AND event_type = '${API_CALL}'
    AND JSONType(payload, 'duration_ms') IN ('Int64', 'UInt64', 'Double')
    AND JSONExtractFloat(payload, 'duration_ms') BETWEEN 0 AND 86400000
  GROUP BY time)
${PERCENTILES}
ORDER BY time, series`,
};
