import { createHash } from 'node:crypto';
import type { KafkaRecord } from '../kafka/record.ts';
import { weightOf } from './lane-buffer.ts';
import {
  type EntryState,
  type Fence,
  RETRY_SPAN,
  type RetryPosition,
  relevantFences,
  retryMetadata,
} from './retry-position.ts';
import type { WaitingRecord } from './retry-record.ts';

/** A record in the retry topic that is not resolved. */
export interface Entry extends WaitingRecord {
  readonly key: string;
}

export interface Kept {
  entry: Entry;
  readonly bytes: number;
  isResolved: boolean;
  /** It was tried from here at least once: its header does not say how often. */
  isTried: boolean;
}

/** Entries that are written together. */
export interface Group {
  /** Undefined where the store needs none. */
  readonly name: string | undefined;
  readonly entries: readonly Entry[];
}

interface Plan {
  readonly name: string;
  /** In the retry topic. */
  readonly offsets: ReadonlySet<bigint>;
  readonly last: bigint;
}

/** What a header takes in memory beside its bytes: a name and a buffer. */
const HEADER_OVERHEAD = 100;

/** Records that wait carry headers that say why: they are most of them. */
function headersWeight({ headers }: KafkaRecord): number {
  let bytes = 0;
  for (const value of Object.values(headers)) bytes += (value?.length ?? 0) + HEADER_OVERHEAD;
  return bytes;
}

/** Digest of where entries are and come from: a retry topic made anew has others at the same offsets. */
function nameOf(entries: readonly Entry[]): string {
  const hash = createHash('sha1');
  for (const { offset, sentAt, record } of entries) {
    hash.update(`${offset} ${sentAt} ${record.offset} ${record.timestamp}\n`);
  }
  return hash.digest('base64url');
}

function planOf({ plan, states }: RetryPosition): Plan | undefined {
  const offsets = [...states].flatMap(([offset, { isPlanned }]) => (isPlanned ? [offset] : []));
  const last = offsets.at(-1);
  if (plan === undefined || last === undefined) return undefined;
  return { name: plan, offsets: new Set(offsets), last };
}

/**
 * A retry topic's partition from the lowest outstanding entry to what was read last: what of it is resolved, and which
 * entries are about to be written together. All of that can be committed, and rebuilt from there.
 */
export class RetryWindow {
  readonly #kept: Kept[] = [];
  readonly #found: RetryPosition['states'];
  readonly #dueAfter: (attempts: number) => number;
  #fences: readonly Fence[];
  #plan: Plan | undefined;
  #bytes = 0;
  #next: bigint;

  /**
   * @param from where reading of the retry topic begins.
   * @param found what is committed for it.
   * @param dueAfter when to try what an owner before has tried so often, ms since the epoch.
   */
  constructor(from: bigint, found: RetryPosition, dueAfter: (attempts: number) => number) {
    this.#next = from;
    this.#dueAfter = dueAfter;
    this.#found = found.states;
    this.#fences = found.fences;
    this.#plan = planOf(found);
  }

  /** Next offset to read. */
  get next(): bigint {
    return this.#next;
  }

  get length(): number {
    return this.#kept.length;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get outstanding(): number {
    let count = 0;
    for (const { isResolved } of this.#kept) if (!isResolved) count += 1;
    return count;
  }

  /** Is a group planned that has not been written as far as we know? */
  get isPlanned(): boolean {
    return this.#plan !== undefined;
  }

  /** Entries from here on have no state yet: they wait until the lowest outstanding one is resolved. */
  get reach(): bigint {
    return this.position() + BigInt(RETRY_SPAN);
  }

  /** Was it sent by an owner that had lost the partition then? */
  isVoid({ epoch, offset }: WaitingRecord): boolean {
    if (epoch === undefined) return false;
    return this.#fences.some((fence) => fence.offset <= offset && fence.epoch > epoch);
  }

  /** @param isResolved also where nothing that is committed says so. */
  add(waiting: WaitingRecord, key: string, isResolved: boolean): Kept {
    const found = this.#found.get(waiting.offset);
    const attempts = Math.max(waiting.attempts, found?.attempts ?? 0);
    const isTried = attempts > waiting.attempts;
    const due = isTried ? Math.max(waiting.due, this.#dueAfter(attempts)) : waiting.due;
    const kept: Kept = {
      entry: { ...waiting, key, attempts, due },
      bytes: weightOf(waiting.record) + headersWeight(waiting.record),
      isResolved: isResolved || found?.isResolved === true,
      isTried,
    };
    this.#kept.push(kept);
    this.#bytes += kept.bytes;
    return kept;
  }

  /** All before `next` was read. */
  passTo(next: bigint): void {
    if (next > this.#next) this.#next = next;
  }

  /** The offset to commit for the retry topic: before it all is resolved. */
  position(): bigint {
    return this.#kept[0]?.entry.offset ?? this.#next;
  }

  /** What is committed with `position()`. */
  metadata(): string {
    const position = this.position();
    this.#fences = relevantFences(this.#fences, position);
    const reach = this.reach;
    const states = new Map<bigint, EntryState>();
    for (const { entry, isResolved, isTried } of this.#kept) {
      if (entry.offset >= reach) break;
      const isPlanned = this.#plan?.offsets.has(entry.offset) === true;
      if (!isResolved && !isTried && !isPlanned) continue;
      states.set(entry.offset, { isResolved, isPlanned, attempts: isTried ? entry.attempts : 0 });
    }
    // What was found and is not read yet still holds.
    for (const [offset, state] of this.#found) {
      if (offset >= this.#next) states.set(offset, state);
    }
    return retryMetadata(position, { fences: this.#fences, plan: this.#plan?.name, states });
  }

  /** From now on these are one group, until `closePlan`. */
  plan(entries: readonly Entry[]): Group {
    const name = nameOf(entries);
    let last = 0n;
    for (const { offset } of entries) if (offset > last) last = offset;
    this.#plan = { name, offsets: new Set(entries.map(({ offset }) => offset)), last };
    return { name, entries };
  }

  /** What is left of the group that was planned; undefined while there is none, or it is not read. */
  planned(): Group | undefined {
    const plan = this.#plan;
    if (plan === undefined || this.#next <= plan.last) return undefined;
    const entries = this.#kept.flatMap(({ entry, isResolved }) =>
      plan.offsets.has(entry.offset) && !isResolved ? [entry] : [],
    );
    if (entries.length > 0) return { name: plan.name, entries };
    this.#plan = undefined;
    return undefined;
  }

  closePlan(): void {
    this.#plan = undefined;
  }

  /** Lets go of what is resolved before the lowest outstanding entry. */
  forget(): void {
    let resolved = 0;
    for (const { isResolved, bytes } of this.#kept) {
      if (!isResolved) break;
      resolved += 1;
      this.#bytes -= bytes;
    }
    this.#kept.splice(0, resolved);
  }
}
