import { API_CALL } from '../pipelines/metrics/steps/latency.ts';
import { inRange, MAX_SERIES, OF_TENANT, stepOf } from './sql.ts';

const EVENTS = `FROM events WHERE ${OF_TENANT} AND ${inRange('occurred_at')}`;

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
    quantilesExactLow(0.5, 0.95, 0.99)(dateDiff('millisecond', occurred_at, received_at)) AS q
  ${EVENTS} GROUP BY time)
ARRAY JOIN [('P50', q[1]), ('P95', q[2]), ('P99', q[3])] AS point
ORDER BY time, series`,
  tenants: `SELECT tenant_id AS tenant, count() AS events, toStartOfMinute(max(occurred_at)) AS last_active
${EVENTS} GROUP BY tenant ORDER BY events DESC, tenant LIMIT 50`,
  'api-latency': `SELECT time, point.1 AS series, point.2 AS value
FROM (
  SELECT ${stepOf('occurred_at')} AS time,
    quantilesExactLow(0.5, 0.95, 0.99)(JSONExtractFloat(payload, 'duration_ms')) AS q
  ${EVENTS} AND event_type = '${API_CALL}'
    AND JSONType(payload, 'duration_ms') IN ('Int64', 'UInt64', 'Double')
    AND JSONExtractFloat(payload, 'duration_ms') BETWEEN 0 AND 86400000
  GROUP BY time)
ARRAY JOIN [('P50', q[1]), ('P95', q[2]), ('P99', q[3])] AS point
ORDER BY time, series`,
};
