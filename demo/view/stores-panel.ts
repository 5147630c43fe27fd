import type { Snapshot } from './snapshot.ts';
import { count, padded, row, style } from './text.ts';

/** Rows in each store. */
export function storesPanel({ seen }: Snapshot, width: number): string[] {
  return [
    style.title(padded('Rows in stores', width)),
    ...[...seen.stores].map(([name, rows]) => row(` ${name}`, count(rows), width)),
  ];
}
