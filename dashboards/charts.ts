import { activityCharts } from './activity.ts';
import { alertCharts } from './alerts.ts';
import type { Chart } from './chart.ts';
import { contactCharts } from './contacts.ts';

/** Every chart, in the order that a page shows them. */
export const charts: readonly Chart[] = [...activityCharts, ...contactCharts, ...alertCharts];
