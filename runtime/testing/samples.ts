import type { Contact, EventRecorded, TenantCount, WebhookReceived } from '../../schemas/types.ts';
import type { WindowResult } from '../topology/api.ts';
import type { TopologyTestDriver } from './topology-test-driver.ts';

/** When the driver's clock begins, ms: 2026-01-01T00:00:00Z, where windows of a minute begin, too. */
export const T0 = Date.UTC(2026, 0, 1);
export const SECOND = 1_000;
export const MINUTE = 60_000;

/** A webhook of tenant `t`. */
export function webhook(change: Partial<WebhookReceived> = {}): WebhookReceived {
  return {
    event_id: 'gh:1',
    tenant_id: 't',
    source: 'gh',
    event_type: 'push',
    delivery_id: '1',
    entity_id: 'repo',
    occurred_at: null,
    received_at: T0,
    payload: '{}',
    ...change,
  };
}

/** An event of tenant `t`. */
export function event(change: Partial<EventRecorded> = {}): EventRecorded {
  return {
    event_id: '1',
    tenant_id: 't',
    source: 'webhook:gh',
    event_type: 'push',
    entity_id: 'repo',
    occurred_at: T0,
    received_at: T0,
    payload: '{}',
    ...change,
  };
}

export function contact(change: Partial<Contact> = {}): Contact {
  return {
    id: '1',
    tenant_id: 't',
    full_name: 'Ada Lovelace',
    email: 'ada@example.com',
    phone: null,
    company_id: null,
    company: null,
    company_domain: null,
    industry: null,
    tags: [],
    score: null,
    created_at: T0,
    updated_at: T0,
    version: 1n,
    ...change,
  };
}

/** An event with anything in its payload: what examples write, so that they can show it. */
export function shown(value: unknown): EventRecorded {
  return event({ payload: JSON.stringify(value) });
}

/** What examples wrote by `shown` since the last time. */
export function show(driver: TopologyTestDriver): unknown[] {
  return driver
    .readValues('event.recorded')
    .map((value) => (value === null ? null : JSON.parse(value.payload)));
}

/** A window's result as a record of a topic. */
export function tenantCount({ key, start, end, value }: WindowResult<number>): TenantCount {
  return { tenant_id: key, window_start: start, window_end: end, count: value, version: 1n };
}

/** Windows as `<key> <start>-<end> s: <count>`, in seconds after `T0`, as they were written since the last time. */
export function windows(driver: TopologyTestDriver): string[] {
  return driver.readValues('metric.tenant.count').map((window) => {
    if (window === null) return 'null';
    const { tenant_id, window_start, window_end, count } = window;
    return `${tenant_id} ${(window_start - T0) / SECOND}-${(window_end - T0) / SECOND} s: ${count}`;
  });
}
