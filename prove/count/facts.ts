/** A row with a balance, as the source or a store has it. */
export interface BalanceRow {
  readonly balance: number;
  /** How many current rows of this id there are; 1 unless something is wrong. */
  readonly copies: number;
}

/** An entry of the history. */
export interface EntryRow {
  readonly account: string;
  readonly teller: string;
  readonly branch: string;
  readonly delta: number;
  readonly copies: number;
}

export const balanceTables = ['accounts', 'tellers', 'branches'] as const;
export type BalanceTable = (typeof balanceTables)[number];

/** A ledger by id: what pgbench's tables hold, or a store's copy of them. */
export interface Ledger {
  readonly balances: Readonly<Record<BalanceTable, ReadonlyMap<string, BalanceRow>>>;
  readonly entries: ReadonlyMap<string, EntryRow>;
}

/** What was found in one store. */
export interface StoreFacts {
  readonly store: 'postgres' | 'clickhouse' | 'elasticsearch';
  readonly ledger: Ledger;
  /** Event id → copies; undefined for a store that keeps no events. */
  readonly events: ReadonlyMap<string, number> | undefined;
}

/** Records of one key that stand in a topic in another order than they were made in. */
export interface OrderFacts {
  readonly topic: string;
  readonly records: number;
  readonly reordered: number;
}
