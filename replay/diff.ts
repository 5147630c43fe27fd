import type { TableModel } from '../sinks/fields.ts';
import { compareKeys, keyOf, type ShadowStore, type StoredRow } from '../sinks/shadow.ts';

/** What is the matter with a row. */
export interface RowDifference {
  readonly kind: 'added' | 'removed' | 'changed';
  readonly key: readonly string[];
  /** Of `changed`: the fields that differ. */
  readonly fields: readonly string[];
  readonly live?: StoredRow['fields'];
  readonly replayed?: StoredRow['fields'];
}

/** The comparison of one table in one store. */
export interface TableDiff {
  readonly store: string;
  readonly table: string;
  /** Rows of the live table; rows that are the same in both. */
  readonly rows: number;
  readonly same: number;
  readonly added: number;
  readonly removed: number;
  readonly changed: number;
  /** Rows that differed when they were first read, and were the same once both sides had passed that point. */
  readonly moved: number;
  /** Changed rows by field; differing rows by tenant and by day of their time (UTC). */
  readonly byField: Readonly<Record<string, number>>;
  readonly byTenant: Readonly<Record<string, number>>;
  readonly byDay: Readonly<Record<string, number>>;
  readonly samples: readonly RowDifference[];
}

/** All rows that differ. */
export function differencesIn(diffs: readonly TableDiff[]): number {
  return diffs.reduce((sum, { added, removed, changed }) => sum + added + removed + changed, 0);
}

export interface DiffOptions {
  /** Rows shown as samples, at most. */
  readonly limit: number;
  /** Resolves once both sides have passed all that they had not when it was called. */
  readonly settle: () => Promise<unknown>;
}

/** Keys that are read again together. What is waited for before that is the same for one key and for many. */
const RECHECKED = 5_000;
/** Tenants and days that are counted by name; the others together. */
const MAX_BUCKETS = 1_000;
const OTHERS = '(others)';

/** Rows of one side, one after the other. */
class Rows {
  readonly #batches: AsyncIterator<readonly StoredRow[]>;
  #batch: readonly StoredRow[] = [];
  #at = 0;

  constructor(batches: AsyncIterable<readonly StoredRow[]>) {
    this.#batches = batches[Symbol.asyncIterator]();
  }

  /** The first that was not taken; undefined at the end. */
  async peek(): Promise<StoredRow | undefined> {
    while (this.#at >= this.#batch.length) {
      const { done, value } = await this.#batches.next();
      if (done === true) return undefined;
      this.#batch = value;
      this.#at = 0;
    }
    return this.#batch[this.#at];
  }

  take(): void {
    this.#at += 1;
  }

  async close(): Promise<void> {
    await this.#batches.return?.();
  }
}

/**
 * Compares the rows of a table with those of a replay, both in the order of their keys, in constant memory. A row that
 * differs is read again once both sides have passed that point: only what differs then counts.
 * @throws what the store's client does.
 */
export async function diffTable(
  store: ShadowStore,
  live: TableModel,
  replayed: TableModel,
  { limit, settle }: DiffOptions,
): Promise<TableDiff> {
  const key = keyOf(live);
  const [left, right] = [new Rows(store.scan(live)), new Rows(store.scan(replayed))];
  const result = new Result(store.store, live, limit);
  let doubtful: (readonly string[])[] = [];
  const recheck = async () => {
    if (doubtful.length === 0) return;
    await settle();
    const [a, b] = await Promise.all([
      store.lookup(live, doubtful),
      store.lookup(replayed, doubtful),
    ]);
    const [ofLive, ofReplay] = [byKey(a), byKey(b)];
    for (const one of doubtful) {
      const name = JSON.stringify(one);
      result.settle(one, ofLive.get(name), ofReplay.get(name));
    }
    doubtful = [];
  };
  try {
    for (;;) {
      const [a, b] = [await left.peek(), await right.peek()];
      if (a === undefined && b === undefined) break;
      const order = a === undefined ? 1 : b === undefined ? -1 : compareKeys(key, a.key, b.key);
      if (order <= 0) {
        left.take();
        result.rows += 1;
      }
      if (order >= 0) right.take();
      const row = order <= 0 ? a : b;
      if (order === 0 && a !== undefined && b !== undefined && fieldsBetween(a, b).length === 0) {
        result.same += 1;
      } else if (row !== undefined) doubtful.push(row.key);
      if (doubtful.length >= RECHECKED) await recheck();
    }
    await recheck();
  } finally {
    await Promise.all([left.close(), right.close()]);
  }
  return result.done();
}

function byKey(rows: readonly StoredRow[]): ReadonlyMap<string, StoredRow> {
  return new Map(rows.map((row) => [JSON.stringify(row.key), row]));
}

function fieldsBetween(a: StoredRow, b: StoredRow): string[] {
  return Object.keys(a.fields).filter((name) => a.fields[name] !== b.fields[name]);
}

class Result {
  rows = 0;
  same = 0;
  readonly #counts = { added: 0, removed: 0, changed: 0, moved: 0 };
  readonly #byField = new Map<string, number>();
  readonly #byTenant = new Map<string, number>();
  readonly #byDay = new Map<string, number>();
  readonly #samples: RowDifference[] = [];
  readonly #store: string;
  readonly #model: TableModel;
  readonly #limit: number;
  readonly #time: string | undefined;

  constructor(store: string, model: TableModel, limit: number) {
    this.#store = store;
    this.#model = model;
    this.#limit = limit;
    const times = model.fields.filter(({ type }) => type.kind === 'timestamp');
    this.#time = model.spec.time ?? times[0]?.name;
  }

  settle(key: readonly string[], live?: StoredRow, replayed?: StoredRow): void {
    const fields =
      live !== undefined && replayed !== undefined ? fieldsBetween(live, replayed) : [];
    const isSame = live === undefined ? replayed === undefined : replayed !== undefined;
    if (isSame && fields.length === 0) {
      this.#counts.moved += 1;
      return;
    }
    const kind = live === undefined ? 'added' : replayed === undefined ? 'removed' : 'changed';
    this.#counts[kind] += 1;
    for (const field of fields) count(this.#byField, field);
    const row = (live ?? replayed)?.fields ?? {};
    count(this.#byTenant, row['tenant_id'] ?? '');
    count(this.#byDay, dayOf(this.#time === undefined ? null : (row[this.#time] ?? null)));
    if (this.#samples.length >= this.#limit) return;
    this.#samples.push({
      ...{ kind, key, fields },
      ...(live === undefined ? {} : { live: live.fields }),
      ...(replayed === undefined ? {} : { replayed: replayed.fields }),
    });
  }

  done(): TableDiff {
    const { spec } = this.#model;
    const [byField, byTenant, byDay] = [this.#byField, this.#byTenant, this.#byDay].map((map) =>
      Object.fromEntries(map),
    );
    return {
      ...{ store: this.#store, table: spec.table, rows: this.rows, same: this.same },
      ...this.#counts,
      ...{ byField: byField ?? {}, byTenant: byTenant ?? {}, byDay: byDay ?? {} },
      samples: this.#samples,
    };
  }
}

function count(counts: Map<string, number>, name: string): void {
  const own = counts.has(name) || counts.size < MAX_BUCKETS ? name : OTHERS;
  counts.set(own, (counts.get(own) ?? 0) + 1);
}

function dayOf(time: string | null): string {
  const at = time === null ? Number.NaN : Number(time);
  return Number.isFinite(at) ? new Date(at).toISOString().slice(0, 10) : '';
}
