import type { StoreName } from '../schemas/stores.ts';
import type { TableModel } from './fields.ts';

/** What a store has to do to keep a topic's rows under another schema. */
export interface StoreEvolution {
  readonly store: StoreName;
  /** Statements (SQL, or `METHOD path` and a JSON body for Elasticsearch), in order; empty when nothing changes. */
  readonly statements: readonly string[];
  /** What the store cannot follow without a new table or index, each naming the field; then nothing is changed. */
  readonly refused: readonly string[];
}

/**
 * Plans the change of one store, additively: columns are added, never dropped or narrowed. Pure.
 * @param before undefined when the table does not exist.
 */
export type PlanEvolution = (before: TableModel | undefined, after: TableModel) => StoreEvolution;
