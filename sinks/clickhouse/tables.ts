/** A column of a table that the sink owns. */
export interface Column {
  readonly name: string;
  readonly type: string;
  readonly comment: string;
  readonly codec?: string;
}

/** A table that the sink owns. All are ReplacingMergeTree: readers use FINAL. */
export interface Table {
  readonly name: string;
  readonly comment: string;
  /** Arguments of ReplacingMergeTree: which of the rows with one sorting key FINAL keeps. */
  readonly replacing: readonly string[];
  readonly orderBy: readonly string[];
  readonly partitionBy?: string;
  readonly columns: readonly Column[];
}

/** Blocks whose tokens a table remembers: repeats of that many newest inserts are dropped by the server. */
const DEDUPLICATION_WINDOW = 1_000;

const INSTANT = "DateTime64(3, 'UTC')";

/** Where a row came from: the record's place in Kafka. */
const ORIGIN: readonly Column[] = [
  { name: '_topic_partition', type: 'UInt32', comment: 'Kafka partition of the record' },
  { name: '_offset', type: 'UInt64', comment: 'Kafka offset of the record' },
];

const nullableText = (name: string, comment: string): Column => ({
  name,
  type: 'Nullable(String)',
  comment,
});

export const eventsTable: Table = {
  name: 'events',
  comment: 'Valid, deduplicated events. Read with FINAL: a repeated delivery is merged away later.',
  replacing: [],
  orderBy: ['tenant_id', 'occurred_at', 'event_id'],
  partitionBy: 'toYYYYMM(occurred_at)',
  columns: [
    { name: 'event_id', type: 'String', comment: 'What deduplication goes by' },
    { name: 'tenant_id', type: 'LowCardinality(String)', comment: 'Owner of the event' },
    {
      name: 'source',
      type: 'LowCardinality(String)',
      comment: 'webhook:<source> or cdc:<table>',
    },
    { name: 'event_type', type: 'LowCardinality(String)', comment: "The sender's name for it" },
    { name: 'entity_id', type: 'String', comment: 'What the event is about' },
    { name: 'occurred_at', type: INSTANT, comment: 'Event time' },
    { name: 'received_at', type: INSTANT, comment: 'When Reachflow first had it' },
    { name: 'payload', type: 'String', comment: 'JSON text', codec: 'ZSTD(1)' },
    ...ORIGIN,
  ],
};

export const contactsTable: Table = {
  name: 'contacts',
  comment:
    'Contacts by id. Read with FINAL: it keeps the newest version and leaves deleted ones out.',
  replacing: ['version', 'is_deleted'],
  orderBy: ['id'],
  columns: [
    { name: 'id', type: 'String', comment: 'Contact id' },
    { name: 'tenant_id', type: 'LowCardinality(String)', comment: 'Owner; empty once deleted' },
    { name: 'full_name', type: 'String', comment: 'Empty once deleted' },
    { name: 'email', type: 'String', comment: 'Empty once deleted' },
    nullableText('phone', 'E.164'),
    nullableText('company_id', 'Id of the company'),
    nullableText('company', "The company's name"),
    nullableText('company_domain', "The company's domain"),
    nullableText('industry', "The company's industry"),
    { name: 'tags', type: 'Array(String)', comment: 'Labels' },
    { name: 'score', type: 'Nullable(Float32)', comment: 'Lead score, 0 to 1' },
    { name: 'created_at', type: INSTANT, comment: '1970 once deleted' },
    { name: 'updated_at', type: INSTANT, comment: '1970 once deleted' },
    { name: 'version', type: 'UInt64', comment: 'Source version; the greatest counts' },
    { name: 'is_deleted', type: 'UInt8', comment: '1: the contact was deleted' },
    ...ORIGIN,
  ],
};

export const tenantCountsTable: Table = {
  name: 'tenant_counts',
  comment:
    'Events per tenant and window. Read with FINAL: it keeps the newest count of each window.',
  replacing: ['version'],
  orderBy: ['tenant_id', 'window_start'],
  columns: [
    { name: 'tenant_id', type: 'LowCardinality(String)', comment: 'Owner of the events' },
    { name: 'window_start', type: INSTANT, comment: 'Start of the window, inclusive' },
    { name: 'window_end', type: INSTANT, comment: 'End of the window, exclusive' },
    { name: 'count', type: 'UInt64', comment: 'Events in the window' },
    { name: 'version', type: 'UInt64', comment: 'Source version; the greatest counts' },
    ...ORIGIN,
  ],
};

const escapes: Readonly<Record<string, string>> = { "'": "\\'", '\\': '\\\\' };

function literal(text: string): string {
  return `'${text.replace(/['\\]/g, (char) => escapes[char] ?? char)}'`;
}

/** `database.table`, quoted; both names are restricted to letters, digits and _. */
export function qualified(database: string, table: string): string {
  return `\`${database}\`.\`${table}\``;
}

/** DDL of a table. */
export function createTableSql(database: string, table: Table): string {
  const columns = table.columns.map(({ name, type, comment, codec }) => {
    const compressed = codec === undefined ? '' : ` CODEC(${codec})`;
    return `\`${name}\` ${type} COMMENT ${literal(comment)}${compressed}`;
  });
  return [
    `CREATE TABLE IF NOT EXISTS ${qualified(database, table.name)} (`,
    `  ${columns.join(',\n  ')}`,
    `) ENGINE = ReplacingMergeTree(${table.replacing.join(', ')})`,
    ...(table.partitionBy === undefined ? [] : [`PARTITION BY ${table.partitionBy}`]),
    `ORDER BY (${table.orderBy.join(', ')})`,
    `SETTINGS non_replicated_deduplication_window = ${DEDUPLICATION_WINDOW}`,
    `COMMENT ${literal(table.comment)}`,
  ].join('\n');
}

/** What the server says of an existing table. */
export interface FoundTable {
  readonly engine: string;
  readonly engineFull: string;
  readonly sortingKey: string;
  readonly columns: ReadonlyMap<string, string>;
}

/** How an existing table differs from what the sink needs. Replicated and shared variants of the engine fit. */
export function tableDifferences(table: Table, found: FoundTable): readonly string[] {
  const differences: string[] = [];
  if (!found.engine.endsWith('ReplacingMergeTree')) {
    differences.push(`its engine is ${found.engine}, not ReplacingMergeTree`);
  } else if (!found.engineFull.includes(`${table.replacing.join(', ')}`)) {
    differences.push(`its engine does not replace by ${table.replacing.join(', ')}`);
  }
  // Servers differ in whether they print the brackets.
  const sortingKey = found.sortingKey.replace(/^\((.*)\)$/, '$1');
  if (sortingKey !== table.orderBy.join(', ')) {
    differences.push(`it is ordered by (${sortingKey}), not (${table.orderBy.join(', ')})`);
  }
  for (const { name, type } of table.columns) {
    const actual = found.columns.get(name);
    if (actual === undefined) differences.push(`no column ${name}`);
    else if (actual !== type) differences.push(`${name} is ${actual}, not ${type}`);
  }
  return differences;
}
