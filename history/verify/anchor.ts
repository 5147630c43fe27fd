import { type Head, isSound } from '../head.ts';
import type { FrontierState } from '../merkle/frontier.ts';

/** Where the verification of a partition begins and ends. */
export interface Anchor {
  readonly from: bigint;
  /** Exclusive. */
  readonly to: bigint;
  /** Where the tree begins. */
  readonly origin: bigint;
  /** The tree at `from`. */
  readonly start: FrontierState;
  /** To compare with, ascending, behind `from`. */
  readonly heads: readonly Head[];
}

const EMPTY: FrontierState = { size: 0, nodes: [] };

export interface AnchorOptions {
  /** Sound heads of this partition and this topic, ascending. */
  readonly heads: readonly Head[];
  /** First offset that is there. */
  readonly low: bigint;
  /** Behind the last committed record. */
  readonly end: bigint;
  /** What is asked for; all that is there by default. */
  readonly from?: bigint | undefined;
  readonly to?: bigint | undefined;
  /** Goes on behind the last head, to record what came since, rather than ending there. */
  readonly isExtended: boolean;
  /** Only what came since the last head. */
  readonly isNewOnly: boolean;
}

/** Heads of the tree that reaches furthest: a topic may have several, that began at different times. */
export function longestTree(heads: readonly Head[]): readonly Head[] {
  const last = heads.filter(isSound).at(-1);
  return last === undefined
    ? []
    : heads.filter((head) => head.origin === last.origin && isSound(head));
}

/**
 * Chooses the known trees between which records are to be read: the last one before what is asked for, the first one
 * behind it. Where there is none, nothing can be proven, and the tree begins at the first record that is there.
 */
export function anchor(options: AnchorOptions): Anchor {
  const { low, end, isExtended, isNewOnly } = options;
  const tree = longestTree(options.heads);
  const [first] = tree;
  const last = tree.at(-1);
  if (first === undefined || last === undefined) {
    const to = clamp(options.to ?? end, low, end);
    return { from: low, to, origin: low, start: EMPTY, heads: [] };
  }
  const { origin } = first;
  const starts = [
    ...(origin >= low ? [{ at: origin, start: EMPTY }] : []),
    ...tree.flatMap(({ nextOffset: at, frontier: start }) =>
      at >= low && at <= end ? [{ at, start }] : [],
    ),
  ];
  const wanted = isNewOnly ? last.nextOffset : (options.from ?? low);
  const begin = starts.findLast(({ at }) => at <= wanted) ?? starts[0];
  // All that was recorded is gone: a tree of its own begins with what is left.
  if (begin === undefined) {
    const to = clamp(options.to ?? end, low, end);
    return { from: low, to, origin: low, start: EMPTY, heads: [] };
  }
  const asked = options.to ?? (isExtended ? end : last.nextOffset);
  const behind = tree.find(({ nextOffset }) => nextOffset >= asked);
  const to = behind?.nextOffset ?? (isExtended ? asked : last.nextOffset);
  return {
    from: begin.at,
    to: clamp(to, begin.at, end),
    origin,
    start: begin.start,
    heads: tree.filter(({ nextOffset }) => nextOffset > begin.at && nextOffset <= to),
  };
}

function clamp(value: bigint, low: bigint, high: bigint): bigint {
  return value < low ? low : value > high ? (high < low ? low : high) : value;
}
