import type { Sequence } from '../load/webhook-load.ts';
import {
  type BalanceRow,
  balanceTables,
  type EntryRow,
  type Ledger,
  type OrderFacts,
  type StoreFacts,
} from './facts.ts';

/** What a count came to: all but the first two must be 0. */
export interface Count {
  readonly store: string;
  readonly what: string;
  readonly expected: number;
  readonly found: number;
  /** Ids that should be there and are not. */
  missing: number;
  /** Rows beyond the first of an id, and ids that nobody sent. */
  duplicate: number;
  /** Records of a key after a newer one of it. */
  reordered: number;
  /** Rows that are not the newest version of theirs. */
  stale: number;
  /** Some ids at fault, and why. */
  readonly samples: string[];
}

const MAX_SAMPLES = 5;

function count(store: string, what: string, expected: number, found: number): Count {
  const none = { missing: 0, duplicate: 0, reordered: 0, stale: 0 };
  return { store, what, expected, found, ...none, samples: [] };
}

function note(to: Count, text: string): void {
  if (to.samples.length < MAX_SAMPLES) to.samples.push(text);
}

function compareRows<R extends { readonly copies: number }>(
  into: Count,
  expected: ReadonlyMap<string, R>,
  found: ReadonlyMap<string, R>,
  differs: (a: R, b: R) => string | undefined,
): Count {
  for (const [id, row] of expected) {
    const there = found.get(id);
    if (there === undefined) {
      into.missing += 1;
      note(into, `${id} is missing`);
      continue;
    }
    if (there.copies > 1) {
      into.duplicate += there.copies - 1;
      note(into, `${id} is there ${there.copies} times`);
    }
    const why = differs(row, there);
    if (why === undefined) continue;
    into.stale += 1;
    note(into, `${id}: ${why}`);
  }
  for (const id of found.keys()) {
    if (expected.has(id)) continue;
    into.duplicate += 1;
    note(into, `${id} belongs to nothing that was sent`);
  }
  return into;
}

function balanceDiffers(a: BalanceRow, b: BalanceRow): string | undefined {
  return a.balance === b.balance ? undefined : `balance ${b.balance}, not ${a.balance}`;
}

function entryDiffers(a: EntryRow, b: EntryRow): string | undefined {
  for (const field of ['account', 'teller', 'branch', 'delta'] as const)
    if (a[field] !== b[field]) return `${field} ${b[field]}, not ${a[field]}`;
  return undefined;
}

/** Sums of the history's deltas by account, teller and branch. */
function sumsOf(entries: ReadonlyMap<string, EntryRow>): Record<string, Map<string, number>> {
  const sums = { accounts: new Map(), tellers: new Map(), branches: new Map() };
  const add = (to: Map<string, number>, id: string, delta: number) =>
    to.set(id, (to.get(id) ?? 0) + delta);
  for (const { account, teller, branch, delta, copies } of entries.values()) {
    add(sums.accounts, account, delta * copies);
    add(sums.tellers, teller, delta * copies);
    add(sums.branches, branch, delta * copies);
  }
  return sums;
}

/** A store against itself: every balance is the sum of the history's entries, as pgbench promises. */
function sumCount(store: string, { balances, entries }: Ledger): Count {
  const sums = sumsOf(entries);
  const rows = balanceTables.flatMap((table) =>
    [...balances[table]].map(([id, { balance }]) => ({ table, id, balance })),
  );
  const result = count(store, 'balances = sums of the history', rows.length, rows.length);
  for (const { table, id, balance } of rows) {
    const sum = sums[table]?.get(id) ?? 0;
    if (sum === balance) continue;
    result.stale += 1;
    note(result, `${table} ${id} has ${balance}, its entries sum up to ${sum}`);
  }
  return result;
}

function ledgerCounts(source: Ledger, { store, ledger }: StoreFacts): Count[] {
  const rows = balanceTables.map((table) => {
    const [expected, found] = [source.balances[table], ledger.balances[table]];
    const into = count(store, `ledger ${table}`, expected.size, found.size);
    return compareRows(into, expected, found, balanceDiffers);
  });
  const entries = count(store, 'ledger entries', source.entries.size, ledger.entries.size);
  return [
    ...rows,
    compareRows(entries, source.entries, ledger.entries, entryDiffers),
    sumCount(store, ledger),
  ];
}

/** @param maybe events whose sender never learned what became of them: there or not, but not twice. */
function eventCount(
  store: string,
  accepted: ReadonlyMap<string, Sequence>,
  maybe: ReadonlySet<string>,
  found: ReadonlyMap<string, number>,
): Count {
  const result = count(store, 'webhooks', accepted.size, found.size);
  for (const id of accepted.keys()) {
    if (found.has(id)) continue;
    result.missing += 1;
    note(result, `${id} was accepted and is missing`);
  }
  for (const [id, copies] of found) {
    if (copies > 1) {
      result.duplicate += copies - 1;
      note(result, `${id} is there ${copies} times`);
    }
    if (accepted.has(id) || maybe.has(id)) continue;
    result.duplicate += 1;
    note(result, `${id} was never sent`);
  }
  return result;
}

export interface Facts {
  readonly source: Ledger;
  readonly stores: readonly StoreFacts[];
  readonly accepted: ReadonlyMap<string, Sequence>;
  readonly unanswered: ReadonlySet<string>;
  readonly order: readonly OrderFacts[];
}

/** Everything that can be counted, store by store. Pure. */
export function countAll({ source, stores, accepted, unanswered, order }: Facts): Count[] {
  const counts = stores.flatMap((facts) => {
    const { store, events } = facts;
    const ledger = ledgerCounts(source, facts);
    return events === undefined
      ? ledger
      : [...ledger, eventCount(store, accepted, unanswered, events)];
  });
  const topics = order.map(({ topic, records, reordered }) => ({
    ...count('kafka', topic, records, records),
    reordered,
  }));
  return [...counts, ...topics];
}

/** Whether nothing is wrong with it. */
export function isRight({ missing, duplicate, reordered, stale }: Count): boolean {
  return missing + duplicate + reordered + stale === 0;
}
