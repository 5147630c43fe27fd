/** Fragments that the charts' queries have in common. */

/** The rows of one tenant, or of all. */
export const OF_TENANT = "({tenant:String} = '' OR tenant_id = {tenant:String})";

/** As many series as a chart of lines has at most: beyond, colours no longer tell them apart. */
export const MAX_SERIES = 8;

/** The rows of a time range. @param column of event time. */
export function inRange(column: string): string {
  return `${column} >= {from:DateTime64(3)} AND ${column} < {to:DateTime64(3)}`;
}

/** The start of the step that a time is in. @param leastSeconds what the data is summed up by already. */
export function stepOf(column: string, leastSeconds = 1): string {
  return `toStartOfInterval(${column}, toIntervalSecond(greatest({step:UInt32}, ${leastSeconds})))`;
}

/** The length of a step in minutes. @param leastSeconds as that of `stepOf`. */
export function stepMinutes(leastSeconds: number): string {
  return `(greatest({step:UInt32}, ${leastSeconds}) / 60)`;
}

/** How a query reads percentiles of merged sketches. */
export interface SketchSql {
  /** Ratio of the ends of a bin. */
  readonly gamma: number;
  /** Expressions: how many values, how many of them are 0, the other bins, and their counts, cumulated. */
  readonly count: string;
  readonly zeros: string;
  readonly bins: string;
  readonly below: string;
}

/** A percentile of a sketch: of n values the one at rank q (n - 1), as DDSketch has it. @param quantile from 0 to 1. */
export function percentileSql(quantile: number, sketch: SketchSql): string {
  const { gamma, count, zeros, bins, below } = sketch;
  const rank = `${quantile} * (${count} - 1)`;
  const bin = `${bins}[arrayFirstIndex(n -> n > ${rank} - ${zeros}, ${below})]`;
  return `if(${rank} < ${zeros}, 0., pow(${gamma}, ${bin}) * ${2 / (1 + gamma)})`;
}

/** The rows of the three percentiles that charts have. */
export function percentilesSql(sketch: SketchSql): string {
  const points = [50, 95, 99].map((p) => `('P${p}', ${percentileSql(p / 100, sketch)})`);
  return `ARRAY JOIN [${points.join(',\n  ')}] AS point`;
}
