import { DUE_MS, GRACE_MS, WINDOW_MS } from './topology.ts';

/** An event as the simulation sends it. */
export interface SimulatedEvent {
  readonly id: string;
  readonly key: string;
  readonly tenant: string;
  /** Event time, ms. */
  readonly at: number;
}

/** What has to come of the events. */
export interface Expected {
  /** Per key, in order: the event and its number. */
  readonly numbered: ReadonlyMap<string, readonly string[]>;
  /** `<tenant> <window start>` to how many. */
  readonly windows: ReadonlyMap<string, number>;
  readonly totals: ReadonlyMap<string, number>;
  readonly late: readonly string[];
  /** Each event's timer, once, with the time that it was set to. */
  readonly due: readonly string[];
}

/**
 * The plain model: partitions one after the other, as if nothing ever failed. An event is late if its window's end +
 * grace <= the largest event time seen before it in its own partition, less the disorder that is allowed.
 */
export function expectedOf(
  partitions: readonly (readonly SimulatedEvent[])[],
  disorderMs: number,
): Expected {
  const numbered = new Map<string, string[]>();
  const windows = new Map<string, number>();
  const totals = new Map<string, number>();
  const late: string[] = [];
  const due: string[] = [];
  for (const events of partitions) {
    const seen = new Set<string>();
    let watermark = Number.NEGATIVE_INFINITY;
    for (const { id, key, tenant, at } of events) {
      const before = watermark;
      watermark = Math.max(watermark, at - disorderMs);
      if (seen.has(id)) continue;
      seen.add(id);
      const list = numbered.get(key) ?? [];
      numbered.set(key, list);
      due.push(`${id}@${at + DUE_MS}`);
      list.push(`${id}#${list.length + 1}`);
      totals.set(tenant, (totals.get(tenant) ?? 0) + 1);
      const start = Math.floor(at / WINDOW_MS) * WINDOW_MS;
      const window = `${tenant} ${start}`;
      if (start + WINDOW_MS + GRACE_MS <= before) late.push(id);
      else windows.set(window, (windows.get(window) ?? 0) + 1);
    }
  }
  return { numbered, windows, totals, late, due };
}
