import type { TableModel } from './fields.ts';

/** A row as readers see it, with its values as text, which are only compared with those of the same store. */
export interface StoredRow {
  /** Of `keyOf`, in its order: times in ms since the epoch. */
  readonly key: readonly string[];
  /** By field; null where there is none. */
  readonly fields: Readonly<Record<string, string | null>>;
}

/** What is exchanged of one topic, and what was behind each name before. */
export interface Exchange {
  readonly topic: string;
  /** The name that readers use. */
  readonly live: string;
  /** The replay's. */
  readonly shadow: string;
  readonly liveId: string;
  readonly shadowId: string;
}

/** Which rows are to be behind the name that readers use. */
export type Side = 'live' | 'shadow';

/**
 * A store as a replay sees it: rows to be compared, and names to be exchanged. Everything may be called again after a crash
 * in its midst: what is done already stays as it is.
 */
export interface ShadowStore {
  readonly store: string;
  /**
   * Rows of a table in the order of their keys, some thousands at a time, as of one moment where the store can do that.
   * @throws what the store's client does.
   */
  scan(model: TableModel): AsyncIterable<readonly StoredRow[]>;
  /** Those of some keys, as they are now. @throws as `scan`. */
  lookup(model: TableModel, keys: readonly (readonly string[])[]): Promise<StoredRow[]>;
  /**
   * What is behind the names of both, before they are exchanged.
   * @throws ReachflowError `SHADOW_CANNOT_SWAP` naming what stands in the way: nothing was changed.
   */
  plan(live: readonly TableModel[], shadows: readonly TableModel[]): Promise<Exchange[]>;
  /** Brings the rows of a side behind the names that readers use. @throws as `scan`. */
  exchange(exchanges: readonly Exchange[], side: Side, suffix: string): Promise<void>;
  /** Deletes the tables under a replay's names, and its positions. @throws as `scan`. */
  drop(shadows: readonly TableModel[], suffix: string): Promise<void>;
  /** Bytes that are left for new data; undefined where the store does not say. @throws as `scan`. */
  room(): Promise<number | undefined>;
  close(): Promise<void>;
}

/** How many rows are read at once. */
export const SCAN_ROWS = 5_000;

/** A key field, as far as its order goes. */
export interface KeyField {
  readonly name: string;
  readonly kind: 'text' | 'time' | 'number';
}

/** What a table's rows are told apart by, in the order of `scan`. */
export function keyOf({ spec, fields }: TableModel): KeyField[] {
  return (spec.orderBy ?? spec.key).map((name) => {
    const kind = fields.find((field) => field.name === name)?.type.kind;
    if (kind === 'timestamp') return { name, kind: 'time' };
    return { name, kind: kind === 'string' || kind === 'enum' ? 'text' : 'number' };
  });
}

/** The order of `scan`: text by its bytes in UTF-8, all else as whole numbers. */
export function compareKeys(
  key: readonly KeyField[],
  a: readonly string[],
  b: readonly string[],
): number {
  for (const [i, { kind }] of key.entries()) {
    const [left = '', right = ''] = [a[i], b[i]];
    if (left === right) continue;
    if (kind === 'text') return Buffer.compare(Buffer.from(left), Buffer.from(right));
    return BigInt(left) < BigInt(right) ? -1 : 1;
  }
  return 0;
}
