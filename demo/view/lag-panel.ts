import type { Snapshot } from './snapshot.ts';
import { count, padded, row, style } from './text.ts';

/** Consumer groups that are shown; a product with more shows the ones that lag most. */
const MAX_GROUPS = 8;

/** What each consumer group has still to read. */
export function lagPanel({ seen }: Snapshot, width: number): string[] {
  const groups = [...seen.lag];
  const shown =
    groups.length <= MAX_GROUPS
      ? groups
      : groups.toSorted(([, a], [, b]) => b - a).slice(0, MAX_GROUPS);
  return [
    style.title(padded('Consumer lag', width)),
    ...shown.map(([group, lag]) => row(` ${group}`, count(lag), width)),
  ];
}
