import type { Snapshot } from './snapshot.ts';
import { count, padded, row, style } from './text.ts';

/**
 * What was refused at the door, and what could not be processed. Offsets of a DLQ are more than its records where
 * it is written in transactions; verification counts the records.
 */
export function rejectsPanel({ webhooks, rows, seen }: Snapshot, width: number): string[] {
  let refused = 0;
  for (const [status, answered] of webhooks.statuses) if (status !== 202) refused += answered;
  return [
    style.title(padded('Rejected', width)),
    row(' Requests refused', count(refused), width),
    row(' Rows made invalid', count(rows.broken), width),
    row(' Offsets in DLQ topics', count(seen.deadLetters), width),
  ];
}
