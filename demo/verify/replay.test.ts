import { describe, expect, it } from 'vitest';
import { company, contact, eventRow, NOW, record, webhook } from '../testing/history.ts';
import { ContactsReplay } from './contacts-replay.ts';
import { EventsReplay } from './events-replay.ts';

const DAY = 86_400_000;

describe('EventsReplay', () => {
  it('takes the first of several webhooks with one id', () => {
    const replay = new EventsReplay();
    replay.webhook(record(webhook('a', { occurred_at: NOW - 1 })));
    replay.webhook(record(webhook('a', { occurred_at: NOW - 2 })));
    expect(replay.events.get('shop:a')?.occurredAt).toBe(NOW - 1);
    expect(replay.webhooks).toMatchObject({ records: 2, accepted: 1, duplicates: 1 });
  });

  it('takes the time of receipt where the sender names none', () => {
    const replay = new EventsReplay();
    replay.webhook(record(webhook('a', { occurred_at: null, received_at: NOW - 7 })));
    expect(replay.events.get('shop:a')?.occurredAt).toBe(NOW - 7);
  });

  it('counts per tenant and minute of event time', () => {
    const replay = new EventsReplay();
    const minute = NOW - (NOW % 60_000);
    replay.webhook(record(webhook('a', { occurred_at: minute })));
    replay.webhook(record(webhook('b', { occurred_at: minute + 59_999 })));
    replay.webhook(record(webhook('c', { occurred_at: minute - 1 })));
    replay.change(record(eventRow(1, 'c', { tenant_id: 'acme' })));
    expect(Object.fromEntries(replay.counts)).toEqual({
      [`acme@${minute}`]: 3,
      [`acme@${minute - 60_000}`]: 1,
    });
  });

  it('takes inserts and snapshot rows, and a row again only once', () => {
    const replay = new EventsReplay();
    replay.change(record(eventRow(1, 'c')));
    replay.change(record(eventRow(1, 'r')));
    replay.change(record(eventRow(2, 'r')));
    replay.change(record(eventRow(2, 'd')));
    expect([...replay.events.keys()]).toEqual(['cdc:events:1', 'cdc:events:2']);
    expect(replay.rows).toMatchObject({ accepted: 2, duplicates: 1, ignored: 1 });
    expect([...replay.lastRows.keys()]).toEqual(['1']);
  });

  it.each([
    ['no kind', { kind: ' ' }],
    ['a null kind', { kind: null }],
    ['a far future', { occurred_at: new Date(NOW + DAY).toISOString() }],
    ['no tenant', { tenant_id: '' }],
  ])('rejects a row with %s', (_what, change) => {
    const replay = new EventsReplay();
    replay.change(record(eventRow(1, 'c', change)));
    expect(replay.rows.rejected).toBe(1);
    expect(replay.events.size).toBe(0);
    expect([...replay.rejections.keys()][0]).toMatch(
      /^cdc\.public\.events\.events\.dlq\|cdc\.public\.events\/\d\/\d+$/,
    );
  });

  it('names every reason', () => {
    const replay = new EventsReplay();
    replay.webhook(record(webhook('a', { tenant_id: '', payload: '{' })));
    expect([...replay.rejections.values()][0]?.reasons).toEqual([
      'tenant_id is empty',
      'payload is no JSON',
    ]);
  });
});

describe('ContactsReplay', () => {
  it('joins whatever company is there in the end', () => {
    const replay = new ContactsReplay();
    replay.contact(contact('c', { company_id: 5 }, 10n));
    expect(replay.expected().get('1')?.state.company).toBeNull();
    replay.company(company('c', 5, 'First', 8n));
    expect(replay.expected().get('1')).toMatchObject({
      leastVersion: 10n,
      state: { company: 'First' },
    });
    replay.company(company('u', 5, 'Second', 20n));
    expect(replay.expected().get('1')).toMatchObject({
      leastVersion: 10n,
      state: { company: 'Second' },
    });
    replay.company(company('d', 5, 'Second', 30n));
    expect(replay.expected().get('1')?.state.company).toBeNull();
  });

  it('drops a change that the connector delivers again, valid or not', () => {
    const replay = new ContactsReplay();
    replay.contact(contact('c', { email: 'broken' }, 10n));
    replay.contact(contact('c', { email: 'broken' }, 10n));
    expect(replay.contacts).toMatchObject({ rejected: 1, duplicates: 1 });
    expect(replay.rejections.size).toBe(1);
  });

  it.each([
    ['a broken address', { email: 'no-at-sign' }],
    ['no address', { email: null }],
    ['a phone that is not E.164', { phone: '0151 123' }],
    ['a blank name', { full_name: '  ' }],
  ])('rejects %s', (_what, change) => {
    const replay = new ContactsReplay();
    replay.contact(contact('c', change, 10n));
    expect(replay.contacts.rejected).toBe(1);
    expect(replay.expected().size).toBe(0);
    expect(replay.lastContacts.size).toBe(1);
  });

  it('ignores tombstones and what is no row change', () => {
    const replay = new ContactsReplay();
    replay.contact(record<never>(null));
    replay.contact(contact('m', {}, 10n));
    expect(replay.contacts).toMatchObject({ records: 2, ignored: 2 });
  });
});
