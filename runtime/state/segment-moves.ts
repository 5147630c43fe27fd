import type { ByteKey, StoredEntry } from './backend.ts';
import { hashOf } from './key-filter.ts';
import type { Segment } from './segment.ts';

/** Entries and bytes of a segment that are moved with a batch, if any: beside two for each that the batch writes. */
const MOVES = 500;
const MOVES_PER_CHANGE = 2;
const MAX_MOVES = 10_000;
const MAX_MOVED_BYTES = 4 * 1024 * 1024;

/** What is to be moved next: from this key of the segment. */
export interface MoveCursor {
  readonly segment: Segment;
  readonly from: ByteKey;
}

/** What a batch moves. */
export interface Moves {
  readonly moves: readonly StoredEntry[];
  readonly cursor: MoveCursor | undefined;
  /** Whether the oldest segment has nothing left that is worth keeping. */
  readonly through: boolean;
}

const NONE: Moves = { moves: [], cursor: undefined, through: false };

/**
 * An entry of the far future would keep its segment, and all that came after it. So when the oldest segment does not
 * expire but a later one has, its live entries are moved to the newest, a few with each batch, until it can go.
 * @param segments the oldest first. @param cursor of the batch before. @throws ReachflowError `STATE_CORRUPT`.
 */
export function movesOf(
  segments: readonly Segment[],
  cursor: MoveCursor | undefined,
  batch: { readonly changes: number; readonly isExpired: (at: number) => boolean },
): Moves {
  const { changes, isExpired } = batch;
  const [oldest, ...newer] = segments;
  if (oldest === undefined || !newer.slice(0, -1).some(({ youngest }) => isExpired(youngest)))
    return NONE;
  const most = Math.min(MAX_MOVES, MOVES + MOVES_PER_CHANGE * changes);
  const moves: StoredEntry[] = [];
  let seen = 0;
  let bytes = 0;
  for (const entry of oldest.range(cursor?.segment === oldest ? cursor.from : '', undefined)) {
    const { key, value } = entry;
    if (seen >= most || bytes >= MAX_MOVED_BYTES)
      return { moves, cursor: { segment: oldest, from: key }, through: false };
    seen += 1;
    bytes += key.length + value.length;
    if (value.length > 0 && !isExpired(value.readDoubleBE(0)) && !isIn(newer, key))
      moves.push(entry);
  }
  return { moves, cursor: undefined, through: true };
}

/** Whether a newer segment has a copy of a key. */
function isIn(newer: readonly Segment[], key: ByteKey): boolean {
  const hash = hashOf(key);
  return newer.some((segment) => segment.mayHave(hash) && segment.get(key) !== undefined);
}
