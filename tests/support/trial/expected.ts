import type { WebhookReceived } from '../../../schemas/types.ts';
import { CLOSER, keyOf, SESSION, SLIDING, TUMBLING } from './topology.ts';

/** A record of the input topic; undefined: its bytes are no value. */
export interface InputRecord {
  readonly offset: bigint;
  readonly value: WebhookReceived | undefined;
}

/** What comes out of an input, whatever happened to those who worked on it. Windows: `kind/key/start/end` → count. */
export interface Outcome {
  /** Event ids of each partition of `event.recorded`, in order. */
  readonly events: readonly (readonly string[])[];
  readonly windows: ReadonlyMap<string, number>;
  /** Offsets of the input that are in the DLQ, as `partition@offset code`. */
  readonly deadLetters: readonly string[];
  /** Records by key, repeated ones included. */
  readonly arrivals: ReadonlyMap<string, number>;
  /** Events by key. */
  readonly perKey: ReadonlyMap<string, number>;
  readonly seen: readonly string[];
}

interface Session {
  readonly start: number;
  readonly end: number;
  readonly count: number;
}

/** One partition, record by record, by the textbook: no epochs, no stores, no interleaving. */
class PartitionModel {
  readonly events: string[] = [];
  readonly deadLetters: string[] = [];
  readonly arrivals = new Map<string, number>();
  readonly perKey = new Map<string, number>();
  readonly #partition: number;
  readonly #windows: Map<string, number>;
  readonly #seen: Set<string>;
  readonly #sessions = new Map<string, Session[]>();
  #watermark = Number.NEGATIVE_INFINITY;

  constructor(partition: number, windows: Map<string, number>, seen: Set<string>) {
    this.#partition = partition;
    this.#windows = windows;
    this.#seen = seen;
  }

  take({ offset, value }: InputRecord): void {
    if (value === undefined) {
      this.deadLetters.push(`${this.#partition}@${offset} UNDECODABLE`);
      return;
    }
    const at = value.occurred_at ?? value.received_at;
    addTo(this.arrivals, keyOf(value));
    const isNew = !this.#seen.has(value.event_id);
    if (isNew) this.#event(offset, value, at);
    this.#watermark = Math.max(this.#watermark, at);
    this.#closeSessions();
  }

  #event(offset: bigint, value: WebhookReceived, at: number): void {
    const key = keyOf(value);
    this.#seen.add(value.event_id);
    this.events.push(value.event_id);
    addTo(this.perKey, key);
    if (!this.#tumbling(value.tenant_id, at))
      this.deadLetters.push(`${this.#partition}@${offset} LATE`);
    this.#sliding(value.tenant_id, at);
    this.#session(key, at);
  }

  /** Late: its window's end + grace is not after the largest time seen before in this partition. */
  #tumbling(tenant: string, at: number): boolean {
    const { sizeMs, graceMs } = TUMBLING;
    const start = Math.floor(at / sizeMs) * sizeMs;
    if (start + sizeMs + graceMs <= this.#watermark) return false;
    this.#count(`tumbling/${tenant}/${start}/${start + sizeMs}`);
    return true;
  }

  #sliding(tenant: string, at: number): void {
    const { sizeMs, everyMs, graceMs } = SLIDING;
    const last = Math.floor(at / everyMs) * everyMs;
    for (let start = last; start > at - sizeMs; start -= everyMs) {
      if (start + sizeMs + graceMs <= this.#watermark) continue;
      this.#count(`sliding/${tenant}/${start}/${start + sizeMs}`);
    }
  }

  #session(key: string, at: number): void {
    const { gapMs, graceMs } = SESSION;
    const open = this.#sessions.get(key) ?? [];
    const met = open.filter(({ start, end }) => start <= at + gapMs && end >= at - gapMs);
    const start = Math.min(at, ...met.map((session) => session.start));
    const end = Math.max(at, ...met.map((session) => session.end));
    if (end + gapMs + graceMs <= this.#watermark) return;
    const count = met.reduce((sum, session) => sum + session.count, 1);
    const others = open.filter((session) => !met.includes(session));
    this.#sessions.set(key, [...others, { start, end, count }]);
  }

  #closeSessions(): void {
    const { gapMs, graceMs } = SESSION;
    for (const [key, open] of this.#sessions) {
      const left = open.filter(({ start, end, count }) => {
        const isOpen = end + gapMs + graceMs > this.#watermark;
        if (!isOpen) this.#count(`session/${key}/${start}/${end}`, count);
        return isOpen;
      });
      if (left.length !== open.length) this.#sessions.set(key, left);
    }
  }

  #count(window: string, by = 1): void {
    if (window.includes(`/${CLOSER}`)) return;
    addTo(this.#windows, window, by);
  }
}

/** Computes what has to come out of each partition's input. */
export function expectedOf(input: readonly (readonly InputRecord[])[]): Outcome {
  const windows = new Map<string, number>();
  const seen = new Set<string>();
  const models = input.map((records, partition) => {
    const model = new PartitionModel(partition, windows, seen);
    for (const record of records) model.take(record);
    return model;
  });
  return {
    events: models.map(({ events }) => events),
    windows,
    deadLetters: models.flatMap(({ deadLetters }) => deadLetters).sort(),
    arrivals: new Map(models.flatMap(({ arrivals }) => [...arrivals])),
    perKey: new Map(models.flatMap(({ perKey }) => [...perKey])),
    seen: [...seen].sort(),
  };
}

function addTo(counts: Map<string, number>, key: string, by = 1): void {
  counts.set(key, (counts.get(key) ?? 0) + by);
}
