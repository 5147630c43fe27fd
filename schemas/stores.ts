/** The stores that sinks write. */
export type StoreName = 'postgres' | 'clickhouse' | 'elasticsearch';

/**
 * How text is found in a store that searches.
 * - `exact`: by its whole value, of any length: one too long for that is refused rather than not found;
 * - `caseless`: by its whole value, whatever the case;
 * - `words`: by its words, or its whole value;
 * - `parts`: by its words, parts of them without accents, or its whole value.
 */
export type TextSearch = 'exact' | 'caseless' | 'words' | 'parts';

/** How the stores keep a topic's records; columns and mappings come from the topic's Avro schema. */
export interface StoreSpec {
  /** Name of the table and the index, snake_case, plural. */
  readonly table: string;
  /** What a row is, for people: the comment of tables. */
  readonly comment: string;
  readonly stores: readonly StoreName[];
  /**
   * - `upsert`: a row per `key`, its newest `version`;
   * - `append`: a row per record, which never changes; the same `key` again is a repeat.
   */
  readonly kind: 'upsert' | 'append';
  /** Fields that identify a row: the primary key. */
  readonly key: readonly string[];
  /**
   * Whether tombstones delete. The record's key is then the one field of `key`. Deleted rows stay, emptied, as long as
   * an older version of them may still come.
   */
  readonly deletes: boolean;
  /** The field that grows with every change of a row; `upsert` only. */
  readonly version?: string;
  /** Event time: what ClickHouse partitions by month, and Elasticsearch's rolled-over indices call `@timestamp`. */
  readonly time?: string;
  /** ClickHouse's sorting key where it should not be `key`; it must contain `key`. */
  readonly orderBy?: readonly string[];
  /** Text of few distinct values (under some 10,000), ClickHouse's LowCardinality. */
  readonly lowCardinality?: readonly string[];
  /** How Elasticsearch finds text fields; others by their whole value, up to 8,191 characters. */
  readonly search?: Readonly<Record<string, TextSearch>>;
  /** Large text: stored, not searched, compressed harder. */
  readonly payload?: readonly string[];
}
