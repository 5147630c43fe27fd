import { describe, expect, it } from 'vitest';
import { atPointer, extractFacts } from './extract.ts';
import { webhookConfigSchema } from './webhook/config.ts';
import type { WebhookSource } from './webhook/source-config.ts';

function source(fields: Record<string, unknown>): WebhookSource {
  const secrets = ['at-least-sixteen-characters'];
  const { sources } = webhookConfigSchema.parse({
    sources: { s: { scheme: 'hmac', secrets, ...fields } },
  });
  const found = sources['s'];
  if (found === undefined) throw new Error('unreachable');
  return found;
}

describe('atPointer', () => {
  const value = { a: { 'b/c': [{ 'd~e': 'found' }] }, n: null };
  it.each([
    ['/a/b~1c/0/d~0e', 'found'],
    ['/n', null],
    ['/n/x', undefined],
    ['/a/b~1c/1', undefined],
    ['/toString', undefined],
    ['/__proto__/constructor', undefined],
  ])('%s', (pointer, expected) => {
    expect(atPointer(value, pointer)).toEqual(expected);
  });
});

describe('extractFacts', () => {
  const verified = { eventType: 'order.paid', occurredAt: 1_000 };

  it('takes the first pointer that finds something', () => {
    const pointers = { tenant: 't', entityPointers: ['/a', '/b'] };
    expect(extractFacts(source(pointers), { value: { a: '', b: 42 } }, verified).entityId).toBe(
      '42',
    );
    expect(extractFacts(source(pointers), { value: { a: { b: 1 } } }, verified).entityId).toBe(
      'order.paid',
    );
    expect(extractFacts(source(pointers), { value: 'text' }, verified).entityId).toBe('order.paid');
  });

  it('prefers the tenant of the payload, and refuses one that could not be a key', () => {
    const both = source({ tenant: 'fallback', tenantPointer: '/t' });
    expect(extractFacts(both, { value: { t: 'acme' } }, verified).tenantId).toBe('acme');
    expect(extractFacts(both, { value: {} }, verified).tenantId).toBe('fallback');
    expect(extractFacts(both, { value: { t: 'a:b' } }, verified).tenantId).toBeUndefined();
  });

  it.each([
    ['2026-01-15T12:00:00Z', Date.UTC(2026, 0, 15, 12)],
    ['2026-01-15T13:00:00.250+01:00', Date.UTC(2026, 0, 15, 12, 0, 0, 250)],
    [1_768_478_400, 1_768_478_400_000],
    [1_768_478_400_123, 1_768_478_400_123],
    ['yesterday', 1_000],
    [-5, 1_000],
    [undefined, 1_000],
  ])('reads the time %s', (at, expected) => {
    const timed = source({ tenant: 't', occurredAtPointer: '/at' });
    expect(extractFacts(timed, { value: { at } }, verified).occurredAt).toBe(expected);
  });

  it('takes the event type of the payload when no header has one', () => {
    const typed = source({ tenant: 't', eventTypePointer: '/type' });
    expect(extractFacts(typed, { value: { type: 'x' } }, { eventType: undefined }).eventType).toBe(
      'x',
    );
    expect(extractFacts(typed, { value: {} }, { eventType: undefined }).eventType).toBeUndefined();
  });
});

describe('the webhook section', () => {
  it('needs a tenant or where to find it', () => {
    expect(() => source({})).toThrow(/tenantPointer/);
  });
  it('refuses an unknown key', () => {
    expect(webhookConfigSchema.safeParse({ prot: 1 }).success).toBe(false);
  });
});
