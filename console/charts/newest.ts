import type { Chart } from '../../dashboards/chart.ts';
import { inRange, OF_TENANT } from '../../dashboards/sql.ts';

/** When the newest event of the range was received, ms since the epoch; 0 for none: how fresh all charts are. */
export const newestEvent: Chart = {
  id: 'newest-event',
  title: 'Newest event',
  description: 'When the newest event of the range was received.',
  unit: 'ms',
  kind: 'number',
  sql: `SELECT toUnixTimestamp64Milli(max(received_at)) AS value FROM events
WHERE ${OF_TENANT} AND ${inRange('occurred_at')}`,
};
