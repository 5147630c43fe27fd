import {
  DROPPED_TYPE,
  EVENT_TYPES,
  KEYS,
  TENANTS,
  tenantOf,
  type WorkloadRecord,
} from './workload.ts';

export const WINDOW_MS = 60_000;
export const GRACE_MS = 30_000;

const DROPPED = EVENT_TYPES.indexOf(DROPPED_TYPE);

/** Counts of windows, by `windowKey`. */
export type WindowCounts = ReadonlyMap<string, number>;

export function windowKey(tenant: string, windowStart: number): string {
  return `${tenant}@${windowStart}`;
}

/**
 * What has to come out, gathered while the input is made. An event is late if its window's end + 30 s is not after
 * the largest event time seen before it in its own input partition: that depends on the input alone, not on who runs
 * ahead while it is read.
 */
export class Truth {
  readonly #newest: Float64Array;
  /** Tenants of a window, by its start: first those in time, then all. */
  readonly #windows = new Map<number, { due: Uint32Array; all: Uint32Array }>();
  #records = 0;
  /** How many records of each event T0 keeps. */
  #kept = new Uint8Array(1_024);
  #events = 0;
  #due = 0;

  constructor(partitions: number) {
    this.#newest = new Float64Array(partitions).fill(Number.NEGATIVE_INFINITY);
  }

  /** Records of the input. */
  get records(): number {
    return this.#records;
  }

  /** How many records of each event T0 keeps. */
  get kept(): Uint8Array {
    return this.#kept.subarray(0, this.#events);
  }

  /** Different events: what deduplication lets through. */
  get events(): number {
    return this.#events;
  }

  /** Different events that are not late. */
  get due(): number {
    return this.#due;
  }

  /** @param partition that the record goes to. */
  add(record: WorkloadRecord, partition: number): void {
    const newest = this.#newest[partition] ?? Number.NEGATIVE_INFINITY;
    this.#records += 1;
    if (record.type !== DROPPED) this.#keep(record.event);
    if (!record.isDuplicate) this.#count(record, newest);
    if (record.occurredAt > newest) this.#newest[partition] = record.occurredAt;
  }

  #keep(event: number): void {
    if (event >= this.#kept.length) {
      const longer = new Uint8Array(this.#kept.length * 2);
      longer.set(this.#kept);
      this.#kept = longer;
    }
    this.#kept[event] = (this.#kept[event] ?? 0) + 1;
  }

  #count({ key, occurredAt }: WorkloadRecord, newest: number): void {
    const start = occurredAt - (occurredAt % WINDOW_MS);
    const tenant = key % TENANTS;
    let window = this.#windows.get(start);
    if (window === undefined) {
      window = { due: new Uint32Array(TENANTS), all: new Uint32Array(TENANTS) };
      this.#windows.set(start, window);
    }
    this.#events += 1;
    window.all[tenant] = (window.all[tenant] ?? 0) + 1;
    if (start + WINDOW_MS + GRACE_MS <= newest) return;
    this.#due += 1;
    window.due[tenant] = (window.due[tenant] ?? 0) + 1;
  }

  /** @param rule `due`: without late events; `all`: with them, for who takes them however late. */
  counts(rule: 'due' | 'all'): WindowCounts {
    const counts = new Map<string, number>();
    for (const [start, window] of this.#windows) {
      for (const [tenant, count] of window[rule].entries()) {
        if (count > 0) counts.set(windowKey(tenantOf(tenant), start), count);
      }
    }
    return counts;
  }
}

/** Keys are spread over tenants evenly, so that a tenant's number is its key's. */
if (KEYS % TENANTS !== 0) throw new Error('KEYS has to be a multiple of TENANTS');
