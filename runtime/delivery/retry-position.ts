/** From `offset` on, records that owners before `epoch` parked are void: see `RetryPosition.fences`. */
export interface Fence {
  /** Larger than that of every owner before; ms since the epoch where nothing is known of them. */
  readonly epoch: number;
  /** The retry topic's end when that owner began. */
  readonly offset: bigint;
}

/** What is known of an entry that lies behind the committed offset. */
export interface EntryState {
  /** Delivered or dead-lettered, or void. */
  readonly isResolved: boolean;
  /** Of the group that is about to be written, or is written already. */
  readonly isPlanned: boolean;
  /** How often it was tried; 0 where its own header says so. */
  readonly attempts: number;
}

/**
 * What is committed of a retry topic's partition besides the lowest outstanding offset, in the metadata of the group's
 * commit: so it moves with the offset, and only a member of the group's present generation can change it.
 */
export interface RetryPosition {
  /**
   * By offset. An owner that lost the partition may still send a record to the retry topic that its heir has dealt with in
   * its own place: what comes behind the heir's fence and is of an earlier owner is passed over. What comes before it was
   * sent by an owner that could still commit, and counts.
   */
  readonly fences: readonly Fence[];
  /** Name of the group of entries that is written next, or again after a crash. */
  readonly plan: string | undefined;
  /** By offset in the retry topic; entries without one are outstanding. */
  readonly states: ReadonlyMap<bigint, EntryState>;
}

/**
 * Entries that have a state lie within so many offsets of the lowest outstanding one. At worst each takes a byte, and
 * brokers take 4,096 bytes of metadata (`offset.metadata.max.bytes`).
 */
export const RETRY_SPAN = 3_500;
/** Owners that began while one entry was outstanding, at most: of more, the oldest fences nobody any more. */
const MAX_FENCES = 16;
const MAX_ATTEMPTS = 30;
const RESOLVED = 31;
const PLANNED = 32;
/** No digits, which count repeats, and no separators. */
const LETTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&*+-./<>';

function letterOf({ isResolved, isPlanned, attempts }: EntryState): string {
  const code = isResolved ? RESOLVED : Math.min(attempts, MAX_ATTEMPTS);
  return LETTERS.charAt(isPlanned ? code + PLANNED : code);
}

/** Those that still matter at `offset`: the newest one before it, and all behind. */
export function relevantFences(fences: readonly Fence[], offset: bigint): readonly Fence[] {
  const last = fences.findLastIndex((fence) => fence.offset <= offset);
  return fences.slice(Math.max(0, last)).slice(-MAX_FENCES);
}

/** @param base the offset that is committed with it: states before it are left out, and those too far behind it. */
export function retryMetadata(base: bigint, { fences, plan, states }: RetryPosition): string {
  const fenced = relevantFences(fences, base).map(
    ({ epoch, offset }) => `${epoch.toString(36)}@${offset.toString(36)}`,
  );
  const parts = [`f:${fenced.join(',')}`];
  if (plan !== undefined) parts.push(`p:${plan}`);
  let runs = '';
  let [letter, count, next] = ['', 0, base];
  const put = (of: string, times: number) => {
    if (times <= 0) return;
    if (of === letter) count += times;
    else {
      if (count > 0) runs += count === 1 ? letter : letter + count;
      [letter, count] = [of, times];
    }
  };
  for (const [offset, state] of states) {
    if (offset < base || offset >= base + BigInt(RETRY_SPAN)) continue;
    put(LETTERS.charAt(0), Number(offset - next));
    put(letterOf(state), 1);
    next = offset + 1n;
  }
  put('', 1);
  return runs === '' ? parts.join(';') : [...parts, `s:${runs}`].join(';');
}

/** Reads it back; what nobody here wrote says nothing. @param base the offset that is committed with it. */
export function parseRetryMetadata(base: bigint, metadata: string): RetryPosition {
  const parts = new Map(
    metadata.split(';').map((part) => [part.slice(0, 2), part.slice(2)] as const),
  );
  const fences = (parts.get('f:') ?? '').split(',').flatMap((text): Fence[] => {
    const [, epoch, offset] = /^([0-9a-z]{1,11})@([0-9a-z]{1,13})$/.exec(text) ?? [];
    if (epoch === undefined || offset === undefined) return [];
    return [{ epoch: Number.parseInt(epoch, 36), offset: bigintOf36(offset) }];
  });
  const states = new Map<bigint, EntryState>();
  let offset = base;
  for (const [, letter = '', times = '1'] of (parts.get('s:') ?? '').matchAll(/(\D)(\d{0,4})/g)) {
    const code = LETTERS.indexOf(letter);
    for (let left = Math.min(RETRY_SPAN, Number(times || 1)); left > 0; left -= 1) {
      if (code > 0) states.set(offset, stateOf(code));
      offset += 1n;
    }
  }
  return { fences, plan: parts.get('p:'), states };
}

function stateOf(code: number): EntryState {
  const isPlanned = code >= PLANNED;
  const rest = isPlanned ? code - PLANNED : code;
  const isResolved = rest === RESOLVED;
  return { isResolved, isPlanned, attempts: isResolved ? 0 : rest };
}

function bigintOf36(text: string): bigint {
  let value = 0n;
  for (const digit of text) value = value * 36n + BigInt(Number.parseInt(digit, 36));
  return value;
}
