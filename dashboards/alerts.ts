import type { Chart } from './chart.ts';
import { inRange, OF_TENANT, stepOf } from './sql.ts';

/** What the patterns found. */
export const alertCharts: readonly Chart[] = [
  {
    id: 'alerts',
    title: 'Alerts',
    description: 'Alerts that were raised, by their pattern.',
    unit: 'count',
    kind: 'lines',
    part: 'alerts',
    sql: `SELECT ${stepOf('raised_at')} AS time, pattern AS series, count() AS value
FROM alerts FINAL
WHERE ${OF_TENANT} AND ${inRange('raised_at')}
GROUP BY time, series ORDER BY time, series`,
  },
  {
    id: 'recent-alerts',
    title: 'Recent alerts',
    description: 'The last 50 alerts of the range.',
    unit: 'count',
    kind: 'table',
    part: 'alerts',
    sql: `SELECT raised_at, severity, pattern, tenant_id AS tenant, subject, summary
FROM alerts FINAL
WHERE ${OF_TENANT} AND ${inRange('raised_at')}
ORDER BY raised_at DESC, alert_id LIMIT 50`,
  },
];
