import type { OptionalPart } from '../schemas/topics.ts';

/** What the values of a chart are measured in. `ratio` is from 0 to 1. */
export type ChartUnit = 'count' | 'per minute' | 'ms' | 'ratio' | 'score';

/**
 * How a chart is drawn, and so which columns its rows have:
 * - `lines`: `time` (DateTime, UTC, the start of a step), `series`, `value`, by time; a step without data has no row;
 * - `bars`, `funnel`: `label`, `value`, in the order to draw them in;
 * - `number`: one row with `value`;
 * - `table`: any columns.
 */
export type ChartKind = 'lines' | 'bars' | 'funnel' | 'table' | 'number';

/** A question that analysts ask of ClickHouse: the console and Grafana draw the same ones. */
export interface Chart {
  /** Stays: links and Grafana's panels go by it. */
  readonly id: string;
  readonly title: string;
  /** What is counted, and when it is exact, in a sentence or two. */
  readonly description: string;
  readonly unit: ChartUnit;
  readonly kind: ChartKind;
  /**
   * ClickHouse SQL in the sink's database, with the server-side parameters `{tenant:String}` ('' is all tenants),
   * `{from:DateTime64(3)}` and `{to:DateTime64(3)}` (the first is in, the second is not), `{step:UInt32}` (seconds).
   * A chart whose data is by the minute or the hour draws no finer steps than that.
   */
  readonly sql: string;
  /** The optional pipeline without which its tables are empty, or not there. */
  readonly part?: OptionalPart;
}
