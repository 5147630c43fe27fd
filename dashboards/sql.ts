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

/**
 * P50, P95 and P99 of each step from the bins of sketches (DDSketch): of n values the one at rank q (n - 1).
 * @param gamma ratio of the ends of a bin; one far below 0 stands for the value 0.
 * @param bins a query for `time`, `bin` and `n`, each bin of a step once.
 */
export function percentilesSql(gamma: number, bins: string): string {
  const points = [50, 95, 99].map(
    (p) =>
      `('P${p}', pow(${gamma}, bins[arrayFirstIndex(rank -> rank > ${p / 100} * (below[-1] - 1), below)]) * ${2 / (1 + gamma)})`,
  );
  return `SELECT time, point.1 AS series, point.2 AS value
FROM (
  SELECT time, arraySort(groupArray((bin, n))) AS sketch, sketch.1 AS bins, arrayCumSum(sketch.2) AS below
  FROM (
${bins})
  GROUP BY time)
ARRAY JOIN [${points.join(',\n  ')}] AS point
ORDER BY time, series`;
}
