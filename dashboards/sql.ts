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
