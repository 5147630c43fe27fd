import type {
  Contact,
  EnrichmentCompleted,
  EventRecorded,
  WebhookReceived,
} from '../../../schemas/types.ts';

/** The dashboards' numbers by plain code, over whole topics: no epochs, no stores, no sketches. */

/** A record as the topic has it, in the order of its partition. */
export interface Recorded<V> {
  readonly partition: number;
  readonly key: string;
  /** Kafka's. */
  readonly timestamp: number;
  readonly value: V | null;
}

/** Rows by `tenant window-start`. */
export type Rows<R> = Readonly<Record<string, R>>;

const MINUTE = 60_000;
const DAY = 86_400_000;

function rowOf<R>(rows: Record<string, R>, tenant: string, at: number, size: number, empty: R): R {
  const id = `${tenant} ${at - (at % size)}`;
  rows[id] ??= empty;
  return rows[id];
}

/** Webhooks by five minutes of their receipt, each id once. @param isValid of a payload. */
export function errorRates(webhooks: readonly Recorded<WebhookReceived>[]) {
  const rows: Record<string, { total: number; errors: number }> = {};
  const seen = new Set<string>();
  for (const { value } of webhooks) {
    if (value === null || seen.has(value.event_id)) continue;
    seen.add(value.event_id);
    const row = rowOf(rows, value.tenant_id, value.received_at, 5 * MINUTE, {
      total: 0,
      errors: 0,
    });
    row.total += 1;
    if (!value.payload.endsWith('}')) row.errors += 1;
  }
  return rows;
}

/** Events by minute. */
export function tenantCounts(events: readonly Recorded<EventRecorded>[]) {
  const rows: Record<string, { count: number }> = {};
  for (const { value } of events) {
    if (value !== null)
      rowOf(rows, value.tenant_id, value.occurred_at, MINUTE, { count: 0 }).count += 1;
  }
  return rows;
}

/** Durations of calls by minute, and how many calls came more than a day after their minute, by their partition's time. */
export function latencies(events: readonly Recorded<EventRecorded>[]) {
  const rows: Record<string, number[]> = {};
  const newest = new Map<number, number>();
  let late = 0;
  for (const { partition, value } of events) {
    if (value === null) continue;
    const { occurred_at: at, tenant_id } = value;
    const before = newest.get(partition) ?? Number.NEGATIVE_INFINITY;
    newest.set(partition, Math.max(before, at));
    if (value.event_type !== 'api.called') continue;
    const { duration_ms } = JSON.parse(value.payload) as { duration_ms: number };
    if (at - (at % MINUTE) + MINUTE + DAY <= before) late += 1;
    else rowOf(rows, tenant_id, at, MINUTE, [] as number[]).push(duration_ms);
  }
  return { rows, late };
}

/** Of n values the one at rank ⌊q (n - 1)⌋. */
export function quantile(values: readonly number[], q: number): number {
  return values.toSorted((a, b) => a - b)[Math.floor(q * (values.length - 1))] ?? Number.NaN;
}

/** Golden records by the minute of their capture. */
export function velocities(contacts: readonly Recorded<Contact>[]) {
  const rows: Record<string, { created: number; updated: number; deleted: number }> = {};
  const known = new Map<string, Contact>();
  for (const { key, value, timestamp } of contacts) {
    const before = known.get(key);
    if (
      value === null
        ? before === undefined
        : before !== undefined && before.version >= value.version
    )
      continue;
    const tenant = value?.tenant_id ?? before?.tenant_id ?? '';
    const row = rowOf(rows, tenant, timestamp, MINUTE, { created: 0, updated: 0, deleted: 0 });
    if (value === null) {
      known.delete(key);
      row.deleted += 1;
    } else {
      known.set(key, value);
      row[before === undefined ? 'created' : 'updated'] += 1;
    }
  }
  return rows;
}

/** Enrichments by the hour. */
export function enrichmentRates(enrichments: readonly Recorded<EnrichmentCompleted>[]) {
  const rows: Record<string, { total: number; found: number; cached: number }> = {};
  for (const { value } of enrichments) {
    if (value === null) continue;
    const empty = { total: 0, found: 0, cached: 0 };
    const row = rowOf(rows, value.tenant_id, value.completed_at, 60 * MINUTE, empty);
    row.total += 1;
    if (value.outcome === 'found') row.found += 1;
    if (value.cached) row.cached += 1;
  }
  return rows;
}
