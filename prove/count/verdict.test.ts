import { describe, expect, it } from 'vitest';
import type { EntryRow, Ledger, StoreFacts } from './facts.ts';
import { countAll, type Facts, isRight } from './verdict.ts';

const entry = (delta: number, fields: Partial<EntryRow> = {}): EntryRow => ({
  account: '1',
  teller: '1',
  branch: '1',
  delta,
  copies: 1,
  ...fields,
});

function ledger(balance: number, entries: Record<string, EntryRow>): Ledger {
  const row = { balance, copies: 1 };
  return {
    balances: {
      accounts: new Map([['1', row]]),
      tellers: new Map([['1', row]]),
      branches: new Map([['1', row]]),
    },
    entries: new Map(Object.entries(entries)),
  };
}

const source = ledger(30, { a: entry(10), b: entry(20) });
const place = { entity: 'e', seq: 0 };

function countsOf(store: Partial<StoreFacts>, facts: Partial<Facts> = {}) {
  const stores: StoreFacts[] = [
    { store: 'clickhouse', ledger: source, events: new Map([['s:1', 1]]), ...store },
  ];
  const accepted = new Map([['s:1', place]]);
  const counts = countAll({ source, stores, accepted, unanswered: new Set(), order: [], ...facts });
  return new Map(counts.map((count) => [count.what, count]));
}

describe('countAll', () => {
  it('finds nothing wrong with an equal store', () => {
    expect([...countsOf({}).values()].every(isRight)).toBe(true);
  });

  it('counts a lost entry, and the sums that it breaks', () => {
    const counts = countsOf({ ledger: ledger(30, { a: entry(10) }) });
    expect(counts.get('ledger entries')).toMatchObject({ missing: 1 });
    expect(counts.get('balances = sums of the history')).toMatchObject({ stale: 3 });
  });

  it('counts a repeated entry', () => {
    const twice = ledger(30, { a: entry(10), b: entry(20, { copies: 2 }) });
    const counts = countsOf({ ledger: twice });
    expect(counts.get('ledger entries')).toMatchObject({ duplicate: 1 });
    expect(counts.get('balances = sums of the history')).toMatchObject({ stale: 3 });
  });

  it('counts a balance that is not the newest', () => {
    const counts = countsOf({ ledger: ledger(10, { a: entry(10), b: entry(20) }) });
    expect(counts.get('ledger accounts')).toMatchObject({ stale: 1 });
  });

  it('counts accepted webhooks that are missing, repeated or of nobody; the unanswered may be there', () => {
    const none = countsOf({ events: new Map() }).get('webhooks');
    expect(none).toMatchObject({ missing: 1 });
    const events = new Map([
      ['s:1', 2],
      ['s:2', 1],
      ['s:3', 1],
    ]);
    const counts = countsOf({ events }, { unanswered: new Set(['s:2']) });
    expect(counts.get('webhooks')).toMatchObject({ missing: 0, duplicate: 2 });
  });

  it('passes on what is out of order in a topic', () => {
    const counts = countsOf({}, { order: [{ topic: 't', records: 9, reordered: 2 }] });
    expect(counts.get('t')).toMatchObject({ reordered: 2 });
  });
});
