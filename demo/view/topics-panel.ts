import { activeTopics } from '../../schemas/topics.ts';
import type { Snapshot } from './snapshot.ts';
import { count, padded, row, style } from './text.ts';

/** How far each topic of the map is: its records and, where it is written in transactions, their markers. */
export function topicsPanel({ seen }: Snapshot, width: number): string[] {
  return [
    style.title(padded('Offsets in topics', width)),
    ...activeTopics().map((name) => row(` ${name}`, count(seen.topics.get(name) ?? 0), width)),
  ];
}
