import { ReachflowError } from '../errors.ts';
import type { StreamRecord } from '../topology/record.ts';

function iso(ms: number): string {
  return Number.isFinite(ms) && Math.abs(ms) < 8.64e15 ? new Date(ms).toISOString() : String(ms);
}

/**
 * Why a late record that no `late` output takes is dead-lettered.
 * @param passed the watermark that it was judged by, ms: its channel's, or the task's where channels were idle.
 */
export function lateLetter(
  record: StreamRecord,
  start: number,
  sizeMs: number,
  graceMs: number,
  passed: number = record.watermark,
): ReachflowError {
  const end = iso(start + sizeMs);
  return new ReachflowError(
    `late: its window ended at ${end} and took records for ${graceMs} ms more, but event time is at ${iso(passed)}`,
    {
      code: 'LATE',
      domain: 'user',
      hint: 'Give the window more grace, or take late records by `late()`.',
    },
  );
}
