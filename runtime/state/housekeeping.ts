import type { ByteKey } from './backend.ts';
import type { SegmentWriter } from './changelog.ts';
import { successor } from './keys.ts';
import { jsonSerde } from './serde.ts';
import type { Table } from './table.ts';
import type { TableSpec } from './table-spec.ts';

/** Where a pass is: all entries up to and with `key` of `table`, and all tables before it, are done. */
interface Pass {
  /** The changelog's next offset when it began. */
  readonly start: string;
  /** Bytes of the log that are redundant once it is through. */
  readonly bytesBefore: number;
  /** False for a pass that only drops what has expired. */
  readonly rewrite: boolean;
  readonly table: string;
  readonly key: ByteKey | null;
}

/** What housekeeping keeps, in the changelog as all state. */
export interface HousekeepingState {
  /** Everything in the changelog before this offset is redundant. */
  readonly boundary: string | null;
  /** Event time (ms) at which the last pass began: it decides what is expired. */
  readonly time: number | null;
  readonly pass: Pass | null;
}

export const HOUSEKEEPING_TABLE: TableSpec<HousekeepingState> = {
  name: '#housekeeping',
  version: 1,
  serde: jsonSerde<HousekeepingState>(),
  cached: true,
};

/** What decides when a pass begins, and how fast it goes. */
export interface HousekeepingOptions {
  /** A pass begins when the log since the boundary is larger than this … */
  readonly minLogBytes: number;
  /** … and than so many times the live entries. */
  readonly liveFactor: number;
  /** Entries that a pass visits in an epoch, beside two for each that the epoch writes. */
  readonly passEntries: number;
}

/** What an epoch's housekeeping leads to once it is committed. */
export interface HousekeepingEffects {
  /** Bytes by which the log since the boundary got smaller. */
  readonly trimmed: number;
  readonly boundary: bigint | undefined;
  /** Expired entries to delete from the backend; the changelog need not know, since all forget them by the same time. */
  readonly expired: ReadonlyMap<number, readonly ByteKey[]>;
}

/** Parts of the shortest TTL after which what has expired is looked for; where that takes no pass, it is cheap. */
const PASS_PARTS = 2;
const DROP_PARTS = 8;
const KEY = 'state';
const INITIAL: HousekeepingState = { boundary: null, time: null, pass: null };
/** Visited for each entry that the epoch writes, so that every pass ends, whatever the load. */
const ENTRIES_PER_CHANGE = 2;
/** Most entries and bytes of a pass in one epoch: the epoch's transaction stays short. */
const MAX_ENTRIES = 10_000;
const MAX_BYTES = 4 * 1024 * 1024;

/**
 * A packed changelog cannot be compacted by its broker. So passes go over the live entries, a few in each epoch, in
 * order of tables and keys, and write them again. When a pass is through, all that was written before it began is
 * redundant: whatever is alive was either changed or rewritten since. The same walk drops expired entries.
 * Its state is state of the task: it commits, rolls back and restores with the epochs.
 */
export class Housekeeping {
  readonly #table: Table<HousekeepingState>;
  /** All tables but its own, which is written whenever it changes. */
  readonly #tables: readonly Table<unknown>[];
  readonly #options: HousekeepingOptions;
  readonly #liveBytes: () => number;
  /** The backend forgets what expires: passes need not look for it. */
  readonly #dropsExpired: boolean;
  #rewrites: { table: Table<unknown>; key: ByteKey; value: Buffer }[] = [];
  #expired = new Map<number, ByteKey[]>();
  #trimmed = 0;

  constructor(
    table: Table<HousekeepingState>,
    tables: readonly Table<unknown>[],
    options: HousekeepingOptions,
    liveBytes: () => number,
    dropsExpired: boolean,
  ) {
    this.#table = table;
    this.#tables = tables;
    this.#options = options;
    this.#liveBytes = liveBytes;
    this.#dropsExpired = dropsExpired;
  }

  /** As of the last committed epoch. */
  get boundary(): bigint | undefined {
    const boundary = this.#table.committedValue(KEY)?.boundary ?? null;
    return boundary === null ? undefined : BigInt(boundary);
  }

  /** Whether a pass is under way. */
  get active(): boolean {
    return (this.#table.get(KEY)?.pass ?? null) !== null;
  }

  /**
   * The epoch's share of a pass; begins one when it is time.
   * @param eventTimeMs watermark of the task.
   * @param log the changelog's next offset, and its bytes since the boundary.
   */
  run(eventTimeMs: number, log: { readonly nextOffset: bigint; readonly bytes: number }): void {
    const before = this.#table.get(KEY) ?? INITIAL;
    const begun = before.pass === null ? this.#begin(before, eventTimeMs, log) : before;
    if (begun.pass === null) {
      if (begun !== before) this.#set(begun);
      return;
    }
    this.#set(begun);
    this.#set(this.#advance(begun, begun.pass));
  }

  #set(state: HousekeepingState): void {
    this.#table.set(KEY, state, 0);
    this.applyHorizon();
  }

  #begin(
    state: HousekeepingState,
    eventTimeMs: number,
    log: { readonly nextOffset: bigint; readonly bytes: number },
  ): HousekeepingState {
    const time = Number.isFinite(eventTimeMs)
      ? Math.max(eventTimeMs, state.time ?? eventTimeMs)
      : state.time;
    const { minLogBytes, liveFactor } = this.#options;
    const rewrite =
      log.bytes > minLogBytes && log.bytes > Math.max(minLogBytes, liveFactor * this.#liveBytes());
    if (!rewrite && !this.#expiryIsDue(state.time, time)) {
      return state.time === null && time !== null && this.#shortestTtl() < Infinity
        ? { ...state, time }
        : state;
    }
    if (!rewrite && this.#dropsExpired) return { ...state, time };
    const table = this.#tables[0]?.spec.name ?? '';
    const start = String(log.nextOffset);
    return { ...state, time, pass: { start, bytesBefore: log.bytes, rewrite, table, key: null } };
  }

  #expiryIsDue(last: number | null, time: number | null): boolean {
    const parts = this.#dropsExpired ? DROP_PARTS : PASS_PARTS;
    return last !== null && time !== null && time - last >= this.#shortestTtl() / parts;
  }

  #shortestTtl(): number {
    let shortest = Number.POSITIVE_INFINITY;
    for (const { spec } of this.#tables)
      if (spec.expiry !== undefined) shortest = Math.min(shortest, spec.expiry.ttlMs);
    return shortest;
  }

  #advance(state: HousekeepingState, pass: Pass): HousekeepingState {
    const changed = this.#tables.reduce((sum, table) => sum + table.changed, 0);
    const most = Math.min(MAX_ENTRIES, ENTRIES_PER_CHANGE * changed + this.#options.passEntries);
    let seen = 0;
    let bytes = 0;
    let index = this.#tables.findIndex(({ spec }) => spec.name === pass.table);
    // A table that is no longer declared: the pass goes over all again, which costs bytes only.
    let from = index < 0 ? '' : pass.key === null ? '' : successor(pass.key);
    for (index = Math.max(0, index); index < this.#tables.length; index += 1, from = '') {
      const table = this.#tables[index] as Table<unknown>;
      if (!pass.rewrite && table.spec.expiry === undefined) continue;
      for (const { key, value } of table.iterateBytes(from)) {
        seen += 1;
        bytes += key.length + value.length;
        this.#visit(table, key, value, pass.rewrite);
        if (seen >= most || bytes >= MAX_BYTES)
          return { ...state, pass: { ...pass, table: table.spec.name, key } };
      }
    }
    if (!pass.rewrite) return { ...state, pass: null };
    this.#trimmed += pass.bytesBefore;
    return { ...state, boundary: pass.start, pass: null };
  }

  #visit(table: Table<unknown>, key: ByteKey, value: Buffer, rewrite: boolean): void {
    if (table.spec.expiry !== undefined && table.isExpired(value.readDoubleBE(0), -Infinity)) {
      if (this.#dropsExpired) return;
      const keys = this.#expired.get(table.index);
      if (keys === undefined) this.#expired.set(table.index, [key]);
      else keys.push(key);
    } else if (rewrite) {
      this.#rewrites.push({ table, key, value });
    }
  }

  /** Writes the rewritten entries; before the epoch's own changes, which are newer. */
  encode(writer: SegmentWriter): void {
    for (const { table, key, value } of this.#rewrites) table.rewrite(writer, key, value);
    this.#rewrites = [];
  }

  /** The epoch is on its way: what follows when it is committed. */
  takeEffects(): HousekeepingEffects {
    const boundary = this.#table.get(KEY)?.boundary ?? null;
    const effects = {
      trimmed: this.#trimmed,
      boundary: boundary === null ? undefined : BigInt(boundary),
      expired: this.#expired,
    };
    this.#trimmed = 0;
    this.#expired = new Map();
    return effects;
  }

  /** Forgets what was done in the epoch that did not commit. Call after its tables were rolled back. */
  rollback(): void {
    this.#rewrites = [];
    this.#expired = new Map();
    this.#trimmed = 0;
    this.applyHorizon();
  }

  /** The horizon of a table as of the last committed epoch; -Infinity when nothing of it can be expired. */
  committedHorizon({ spec: { expiry } }: Table<unknown>): number {
    const time = this.#table.committedValue(KEY)?.time ?? null;
    return expiry === undefined || time === null ? Number.NEGATIVE_INFINITY : time - expiry.graceMs;
  }

  /** Tells the tables what has expired. Call when the state was restored or rolled back. */
  applyHorizon(): void {
    const time = this.#table.get(KEY)?.time ?? null;
    for (const table of this.#tables) {
      const { expiry } = table.spec;
      if (expiry !== undefined)
        table.horizon = time === null ? Number.NEGATIVE_INFINITY : time - expiry.graceMs;
    }
  }
}
