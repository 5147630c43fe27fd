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
/** Timers that one wake-up fires; the rest fires at once after it. */
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
    this.#wake(kind, atMs);
  }

  cancel(kind: TimerKind, key: string): void {
    const at = this.#store.get(`${kind[0]}k/${key}`);
    if (at === undefined) return;
    this.#store.delete(`${kind[0]}k/${key}`);
    this.#store.delete(dueKey(kind, at, key));
  }

  /** Fires what is due by `upTo`, earliest first. Returns when the next one is due. */
  fire(
    kind: TimerKind,
    upTo: number,
    onTimer: (key: string, atMs: number, kind: TimerKind) => void,
  ): number {
    for (let fired = 0; fired < MAX_FIRED; fired += 1) {
      const first = this.#first(kind);
      if (first === undefined) return Number.POSITIVE_INFINITY;
      const [dueText, at] = first;
      if (at > upTo) return at;
      const key = dueText.slice(`xt/${'0'.repeat(DIGITS)}/`.length);
      this.#store.delete(dueText);
      this.#store.delete(`${kind[0]}k/${key}`);
      onTimer(key, at, kind);
    }
    return upTo;
  }

  #first(kind: TimerKind): [string, number] | undefined {
    for (const entry of this.#store.prefix(`${kind[0]}t/`)) return entry;
    return undefined;
  }

  #next(kind: TimerKind): number {
    return this.#first(kind)?.[1] ?? Number.POSITIVE_INFINITY;
  }

  #wake(kind: TimerKind, atMs: number): void {
    if (kind === 'event') this.#context.wakeAt(atMs);
    else this.#context.wakeAtWallClock(atMs);
  }
}
