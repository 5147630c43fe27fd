import {
  type KeyValueStore,
  keyValueStore,
  numberSerde,
  type StoreSpec,
} from '../state/contract.ts';
import type { OperatorContext } from '../topology/operator.ts';
import type { TimerKind, Timers } from './process-api.ts';

export type TimerStore = StoreSpec<KeyValueStore<number>>;

/** The store of a step's timers: by key, and by time so that what is due comes first. */
export function timerStore(step: string): TimerStore {
  return keyValueStore<number>(`${step}.timers`, numberSerde);
}

const DIGITS = 16;
/** Timers that one wake-up fires: what they forward is one epoch's. The rest fires in the next epochs, before any record. */
const MAX_FIRED = 10_000;

/** `w` for wall, `e` for event; then the time such that text order is time order, also before 1970. */
function dueKey(kind: TimerKind, atMs: number, key: string): string {
  return `${kind[0]}t/${timeText(atMs)}/${key}`;
}

function timeText(atMs: number): string {
  const shifted = Math.round(atMs) + 8e15;
  return String(Math.min(Math.max(shifted, 0), 9e15)).padStart(DIGITS, '0');
}

/** Timers of one step in one task, kept in a store: they commit with the epoch and survive restarts. */
export class TimerService implements Timers {
  readonly #context: OperatorContext;
  readonly #store: KeyValueStore<number>;
  /** The earliest that was scheduled since what is due was looked up last, ms. */
  #scheduled = Number.POSITIVE_INFINITY;
  /**
   * Before it there is none, ms. Those that fired are in the epoch's changes until it commits: without it each look for
   * the first one would walk over them.
   */
  readonly #noneBefore = { event: Number.NEGATIVE_INFINITY, wall: Number.NEGATIVE_INFINITY };

  constructor(context: OperatorContext, spec: TimerStore) {
    this.#context = context;
    this.#store = context.store(spec);
  }

  /** Asks to be woken for what is scheduled. */
  start(): void {
    for (const kind of ['event', 'wall'] as const) {
      const next = this.#next(kind);
      if (next !== Number.POSITIVE_INFINITY) this.#wake(kind, next);
    }
  }

  schedule(kind: TimerKind, key: string, atMs: number): void {
    this.cancel(kind, key);
    this.#store.set(`${kind[0]}k/${key}`, atMs);
    this.#store.set(dueKey(kind, atMs, key), atMs);
    this.#scheduled = Math.min(this.#scheduled, atMs);
    this.#noneBefore[kind] = Math.min(this.#noneBefore[kind], atMs);
    this.#wake(kind, atMs);
  }

  cancel(kind: TimerKind, key: string): void {
    const at = this.#store.get(`${kind[0]}k/${key}`);
    if (at === undefined) return;
    this.#store.delete(`${kind[0]}k/${key}`);
    this.#store.delete(dueKey(kind, at, key));
  }

  /** Fires what is due by `upTo`, earliest first. Returns when the next one is due; `upTo` when that is now. */
  fire(
    kind: TimerKind,
    upTo: number,
    onTimer: (key: string, atMs: number, kind: TimerKind) => void,
  ): number {
    for (let fired = 0; fired < MAX_FIRED; ) {
      const due = this.#due(kind, upTo, MAX_FIRED - fired);
      if (due.length === 0) {
        this.#noneBefore[kind] = Math.max(this.#noneBefore[kind], upTo);
        return this.#next(kind);
      }
      this.#scheduled = Number.POSITIVE_INFINITY;
      for (const [dueText, at] of due) {
        // One that was scheduled meanwhile comes first.
        if (this.#scheduled < at) break;
        fired += 1;
        if (this.#store.get(dueText) === undefined) continue;
        const key = dueText.slice(`xt/${'0'.repeat(DIGITS)}/`.length);
        this.#store.delete(dueText);
        this.#store.delete(`${kind[0]}k/${key}`);
        onTimer(key, at, kind);
      }
    }
    return Math.max(upTo, this.#next(kind));
  }

  /** Looked up together: to look for the first again after each would walk over all that were fired. */
  #due(kind: TimerKind, upTo: number, most: number): [string, number][] {
    const due: [string, number][] = [];
    for (const [dueText, at] of this.#inOrder(kind)) {
      if (at > upTo || due.length === most) break;
      due.push([dueText, at]);
    }
    return due;
  }

  #first(kind: TimerKind): [string, number] | undefined {
    for (const entry of this.#inOrder(kind)) return entry;
    return undefined;
  }

  #inOrder(kind: TimerKind): Iterable<[string, number]> {
    // `0` is the character behind `/`.
    return this.#store.range(dueKey(kind, this.#noneBefore[kind], ''), `${kind[0]}t0`);
  }

  #next(kind: TimerKind): number {
    return this.#first(kind)?.[1] ?? Number.POSITIVE_INFINITY;
  }

  #wake(kind: TimerKind, atMs: number): void {
    if (kind === 'event') this.#context.wakeAt(atMs);
    else this.#context.wakeAtWallClock(atMs);
  }
}
