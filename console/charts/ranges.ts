/** A stretch of time that charts show, up to now. */
export interface Range {
  readonly id: string;
  /** For people. */
  readonly title: string;
  readonly seconds: number;
  /** Of one point, seconds: some 200 points are as many as a chart has room for. */
  readonly step: number;
}

const MINUTE = 60;
const HOUR = 3_600;
const DAY = 86_400;

export const ranges: readonly Range[] = [
  { id: '5m', title: '5 minutes', seconds: 5 * MINUTE, step: 2 },
  { id: '15m', title: '15 minutes', seconds: 15 * MINUTE, step: 5 },
  { id: '1h', title: '1 hour', seconds: HOUR, step: 20 },
  { id: '6h', title: '6 hours', seconds: 6 * HOUR, step: 2 * MINUTE },
  { id: '24h', title: '24 hours', seconds: DAY, step: 10 * MINUTE },
  { id: '7d', title: '7 days', seconds: 7 * DAY, step: HOUR },
  { id: '30d', title: '30 days', seconds: 30 * DAY, step: 4 * HOUR },
];

/** Where a range begins and ends at a time; it begins with a whole step. ms since the epoch. */
export function boundsOf({ seconds, step }: Range, now: number): { from: number; to: number } {
  const stepMs = step * 1_000;
  return { from: Math.floor((now - seconds * 1_000) / stepMs) * stepMs, to: now };
}
