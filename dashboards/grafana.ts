import type { Chart, ChartKind, ChartUnit } from './chart.ts';
import { charts } from './charts.ts';

/**
 * Grafana's dashboards, made from the charts (schema: grafana.com/docs, "Dashboard JSON model"; queries as the data source
 * `grafana-clickhouse-datasource` stores them). `npm run generate` writes them to `deploy/grafana/dashboards/`.
 */

/** Of the data sources in `deploy/grafana/provisioning/`. */
export const CLICKHOUSE_UID = 'reachflow-clickhouse';
export const PROMETHEUS_UID = 'reachflow-prometheus';
const CLICKHOUSE = { type: 'grafana-clickhouse-datasource', uid: CLICKHOUSE_UID };
const PROMETHEUS = { type: 'prometheus', uid: PROMETHEUS_UID };

/** Version of the dashboard model: Grafana upgrades older ones itself. */
const SCHEMA_VERSION = 39;
const COLUMNS = 24;

/** What Grafana puts in the place of a chart's parameters: its own global variables, which every data source has. */
const PARAMETERS: readonly (readonly [string, string])[] = [
  // Quoted, and its quotes escaped, by Grafana.
  ['{tenant:String}', `\${tenant:singlequote}`],
  ['{from:DateTime64(3)}', "fromUnixTimestamp64Milli(toInt64($__from), 'UTC')"],
  ['{to:DateTime64(3)}', "fromUnixTimestamp64Milli(toInt64($__to), 'UTC')"],
  ['{step:UInt32}', 'toUInt32(greatest(1, intDiv($__interval_ms, 1000)))'],
];

const PANELS: Readonly<Record<ChartKind, { type: string; width: number; height: number }>> = {
  number: { type: 'stat', width: 6, height: 4 },
  lines: { type: 'timeseries', width: 12, height: 8 },
  bars: { type: 'barchart', width: 12, height: 8 },
  funnel: { type: 'bargauge', width: 12, height: 8 },
  table: { type: 'table', width: 24, height: 8 },
};

const UNITS: Readonly<Record<ChartUnit, string>> = {
  count: 'short',
  'per minute': 'cpm',
  ms: 'ms',
  ratio: 'percentunit',
  score: 'none',
};

const OPTIONS: Readonly<Record<ChartKind, Readonly<Record<string, unknown>>>> = {
  number: { reduceOptions: { calcs: ['lastNotNull'], fields: '', values: false } },
  lines: { legend: { displayMode: 'list', placement: 'bottom' }, tooltip: { mode: 'multi' } },
  bars: { orientation: 'horizontal', legend: { showLegend: false } },
  // A bar of each row, not of what the rows come to.
  funnel: {
    orientation: 'horizontal',
    reduceOptions: { calcs: [], fields: '/^value$/', values: true },
  },
  table: { showHeader: true },
};

interface Place {
  readonly x: number;
  readonly y: number;
  readonly w: number;
  readonly h: number;
}

/** Side by side, as long as there is room. */
function* places(
  sizes: readonly { readonly width: number; readonly height: number }[],
): Iterable<Place> {
  let [x, y, rowHeight] = [0, 0, 0];
  for (const { width, height } of sizes) {
    if (x + width > COLUMNS) {
      [x, y, rowHeight] = [0, y + rowHeight, 0];
    }
    yield { x, y, w: width, h: height };
    x += width;
    rowHeight = Math.max(rowHeight, height);
  }
}

/** A chart's query with Grafana's variables in it. */
export function grafanaSql({ sql }: Chart): string {
  return PARAMETERS.reduce((text, [ours, theirs]) => text.replaceAll(ours, () => theirs), sql);
}

function panelOf(chart: Chart, id: number, gridPos: Place): Readonly<Record<string, unknown>> {
  const isLines = chart.kind === 'lines';
  const needs = chart.part === undefined ? '' : ` Needs the optional pipeline ${chart.part}.`;
  return {
    id,
    type: PANELS[chart.kind].type,
    title: chart.title,
    description: `${chart.description}${needs}`,
    datasource: CLICKHOUSE,
    gridPos,
    fieldConfig: {
      defaults: { unit: UNITS[chart.unit], ...(isLines ? { custom: { fillOpacity: 10 } } : {}) },
      overrides: [],
    },
    options: OPTIONS[chart.kind],
    targets: [
      {
        refId: 'A',
        datasource: CLICKHOUSE,
        editorType: 'sql',
        queryType: isLines ? 'timeseries' : 'table',
        format: isLines ? 0 : 1,
        rawSql: grafanaSql(chart),
      },
    ],
  };
}

/** Any of them, or all: then the variable is an empty text. */
const TENANT = {
  name: 'tenant',
  label: 'Tenant',
  type: 'query',
  datasource: CLICKHOUSE,
  query: 'SELECT DISTINCT tenant_id FROM tenant_counts ORDER BY tenant_id LIMIT 1000',
  refresh: 1,
  includeAll: true,
  // Put in as it is: Grafana formats no value of "All".
  allValue: "''",
  current: { text: 'All', value: '$__all' },
  multi: false,
};

function dashboard(
  uid: string,
  title: string,
  panels: readonly unknown[],
  variables: readonly unknown[],
) {
  return {
    uid,
    title,
    tags: ['reachflow'],
    timezone: 'browser',
    schemaVersion: SCHEMA_VERSION,
    editable: true,
    refresh: '10s',
    time: { from: 'now-6h', to: 'now' },
    templating: { list: variables },
    annotations: { list: [] },
    panels,
  };
}

/** What the processes say of themselves: names of `docs/guides/observe.md`. */
export const runtimeQueries: readonly (readonly [title: string, unit: string, promql: string])[] = [
  [
    'Records by pipeline',
    'cps',
    'sum by (pipeline, outcome) (rate(reachflow_records_total{step=""}[1m]))',
  ],
  ['Consumer lag', 'short', 'sum by (group) (reachflow_consumer_lag)'],
  ['Rows by sink', 'cps', 'sum by (sink, outcome) (rate(reachflow_sink_records_total[1m]))'],
  ['Dead letters', 'cpm', 'sum by (consumer, code) (rate(reachflow_dlq_records_total[5m])) * 60'],
  [
    'Webhook requests',
    'reqps',
    'sum by (source, status) (rate(reachflow_webhook_requests_total[1m]))',
  ],
  ['Watermark behind the clock', 's', 'max by (pipeline) (reachflow_watermark_delay_seconds)'],
];

function runtimePanels(): readonly unknown[] {
  const at = [...places(runtimeQueries.map(() => PANELS.lines))];
  return runtimeQueries.map(([title, unit, expr], i) => ({
    id: i + 1,
    type: PANELS.lines.type,
    title,
    datasource: PROMETHEUS,
    gridPos: at[i],
    fieldConfig: { defaults: { unit }, overrides: [] },
    options: OPTIONS.lines,
    targets: [{ refId: 'A', datasource: PROMETHEUS, expr }],
  }));
}

/** Every dashboard as JSON text, by its file's name. */
export function grafanaDashboards(): ReadonlyMap<string, string> {
  const at = [...places(charts.map(({ kind }) => PANELS[kind]))];
  const panels = charts.flatMap((chart, i) => {
    const place = at[i];
    return place === undefined ? [] : [panelOf(chart, i + 1, place)];
  });
  const text = (value: unknown) => `${JSON.stringify(value, null, 2)}\n`;
  return new Map([
    ['analysts.json', text(dashboard('reachflow-analysts', 'Reachflow', panels, [TENANT]))],
    [
      'runtime.json',
      text(dashboard('reachflow-runtime', 'Reachflow: processes', runtimePanels(), [])),
    ],
  ]);
}
