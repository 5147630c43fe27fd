import { describe, expect, it } from 'vitest';
import type { StoreSpec } from '../../schemas/stores.ts';
import { fieldsOf, type TableModel, tableModel } from '../fields.ts';
import { type FoundTable, planEvolution, planTable } from './evolution.ts';
import { clickhouseTables, createTableSql, type Table, tableOf } from './tables.ts';

const contacts = tableOf(tableModel('contact.golden'));
const name = '`db`.`contacts`';

const found = (table: Table, fields: Partial<FoundTable> = {}): FoundTable => ({
  engine: 'ReplacingMergeTree',
  engineFull: 'ReplacingMergeTree(version, is_deleted) ORDER BY id SETTINGS index_granularity = 1',
  sortingKey: 'id',
  columns: new Map(table.columns.map((column) => [column.name, column.type])),
  ...fields,
});

const spec: StoreSpec = {
  table: 'things',
  comment: 'Things.',
  stores: ['clickhouse'],
  kind: 'append',
  key: ['id'],
  deletes: false,
  time: 'at',
  payload: ['body'],
  lowCardinality: ['kind'],
};

const at = { name: 'at', type: { type: 'long', logicalType: 'timestamp-millis' } };
function modelOf(fields: readonly unknown[], changed: Partial<StoreSpec> = {}): TableModel {
  const all = [{ name: 'id', type: 'string' }, at, ...fields];
  const schema = JSON.stringify({ type: 'record', name: 'R', fields: all });
  return { topic: 'event.recorded', spec: { ...spec, ...changed }, fields: fieldsOf(schema) };
}

describe('tables from Avro', () => {
  it('take their columns from schema and spec', () => {
    const sql = createTableSql(
      'things',
      tableOf(
        modelOf([
          { name: 'kind', type: ['null', 'string'], doc: "The sender's" },
          { name: 'body', type: 'string' },
          { name: 'color', type: { type: 'enum', name: 'C', symbols: ['A'] } },
          { name: 'labels', type: { type: 'map', values: ['null', 'string'] } },
          { name: 'scores', type: ['null', { type: 'array', items: 'double' }] },
          { name: 'day', type: ['null', { type: 'int', logicalType: 'date' }] },
        ]),
      ),
    );
    for (const line of [
      '`id` String,',
      "`at` DateTime64(3, 'UTC'),",
      "`kind` LowCardinality(Nullable(String)) COMMENT 'The sender\\'s',",
      '`body` String CODEC(ZSTD(1)),',
      '`color` LowCardinality(String),',
      '`labels` Map(String, Nullable(String)),',
      '`scores` Array(Float64),',
      '`day` Nullable(Date32),',
      'ENGINE = ReplacingMergeTree()',
      'PARTITION BY toYYYYMM(at)',
      'ORDER BY (id)',
      'non_replicated_deduplication_window = 100000',
    ]) {
      expect(sql).toContain(line);
    }
  });

  it('replace by version, and by deletion where there is one', () => {
    expect(contacts.replacing).toEqual(['version', 'is_deleted']);
    const counts = clickhouseTables().get('metric.tenant.count');
    expect(counts?.replacing).toEqual(['version']);
    expect(counts?.columns.find((column) => column.name === 'version')?.type).toBe('UInt64');
  });

  it('are those of optional pipelines, too, where these run', () => {
    expect(clickhouseTables().has('ledger.entry')).toBe(false);
    const table = clickhouseTables({ parts: ['ledger'] }).get('ledger.entry');
    expect(table).toMatchObject({ name: 'ledger_entries', partitionBy: 'toYYYYMM(posted_at)' });
  });

  it('take no NULL in the sorting key', () => {
    const table = tableOf(modelOf([{ name: 'k', type: ['null', 'string'] }], { key: ['id', 'k'] }));
    expect(table.columns.find((column) => column.name === 'k')?.type).toBe('String');
  });
});

describe('a table that is there', () => {
  it('is left alone when it fits: replicated too, however the server prints the key, and wider', () => {
    const fits = { statements: [], refused: [] };
    expect(planTable(name, contacts, found(contacts))).toEqual(fits);
    expect(planTable(name, contacts, found(contacts, { sortingKey: '(id)' }))).toEqual(fits);
    const engine = 'ReplicatedReplacingMergeTree';
    const engineFull = `${engine}('/p(1)', '{replica}', version, is_deleted) ORDER BY id`;
    expect(planTable(name, contacts, found(contacts, { engine, engineFull }))).toEqual(fits);
    const wider = new Map([
      ...found(contacts).columns,
      ['email', 'LowCardinality(Nullable(String))'],
      ['score', 'Nullable(Float64)'],
      ['more', 'UUID'],
    ]);
    expect(planTable(name, contacts, found(contacts, { columns: wider }))).toEqual(fits);
  });

  it('is refused for another engine, replacing columns, key or column, each named', () => {
    expect(planTable(name, contacts, found(contacts, { engine: 'MergeTree' })).refused).toEqual([
      'its engine is MergeTree, not ReplacingMergeTree',
    ]);
    const columns = new Map([...found(contacts).columns, ['score', 'String'], ['id', 'Int64']]);
    columns.delete('phone');
    columns.delete('_offset');
    const engineFull = 'ReplacingMergeTree(updated_at) ORDER BY id';
    const sortingKey = 'tenant_id, id';
    expect(planTable(name, contacts, found(contacts, { engineFull, sortingKey, columns }))).toEqual(
      {
        statements: [],
        refused: [
          'its engine does not replace by version, is_deleted',
          'it is ordered by (tenant_id, id), not (id)',
          'id is Int64, not String',
          'score is String, not Nullable(Float32)',
          'no column _offset',
        ],
      },
    );
  });
});

describe('evolution', () => {
  const statementsOf = (before: TableModel, after: TableModel) => {
    const { statements, refused } = planEvolution(before, after);
    expect(refused).toEqual([]);
    return statements;
  };

  it('makes a table, and nothing when nothing changes', () => {
    expect(planEvolution(undefined, modelOf([])).statements).toEqual([
      expect.stringContaining('CREATE TABLE IF NOT EXISTS `things`'),
    ]);
    expect(statementsOf(modelOf([]), modelOf([]))).toEqual([]);
  });

  it('adds columns with the default of the schema', () => {
    const added = [
      { name: 'a', type: ['null', 'string'], default: null, doc: 'New.' },
      { name: 'b', type: 'string', default: "it's" },
      { name: 'c', type: 'int', default: -1 },
      { name: 'd', type: { type: 'array', items: 'string' }, default: ['x'] },
      { name: 'e', type: { type: 'long', logicalType: 'timestamp-millis' }, default: 5 },
      { name: 'f', type: 'boolean', default: true },
      { name: 'g', type: { type: 'map', values: 'int' }, default: {} },
    ];
    const add = 'ALTER TABLE `things` ADD COLUMN IF NOT EXISTS';
    expect(statementsOf(modelOf([]), modelOf(added))).toEqual([
      `${add} \`a\` Nullable(String) COMMENT 'New.'`,
      `${add} \`b\` String DEFAULT 'it\\'s'`,
      `${add} \`c\` Int32 DEFAULT -1`,
      `${add} \`d\` Array(String) DEFAULT ['x']`,
      `${add} \`e\` DateTime64(3, 'UTC') DEFAULT fromUnixTimestamp64Milli(5, 'UTC')`,
      `${add} \`f\` Bool DEFAULT true`,
      `${add} \`g\` Map(String, Int32)`,
    ]);
  });

  it('widens columns, and leaves those that are dropped or narrowed', () => {
    const plain = (type: unknown) => modelOf([{ name: 'f', type }]);
    expect(statementsOf(plain('int'), plain('long'))).toEqual([
      'ALTER TABLE `things` MODIFY COLUMN `f` Int64',
    ]);
    expect(statementsOf(plain('string'), plain(['null', 'string']))).toEqual([
      'ALTER TABLE `things` MODIFY COLUMN `f` Nullable(String)',
    ]);
    expect(statementsOf(plain('double'), plain('float'))).toEqual([]);
    expect(statementsOf(plain('int'), modelOf([]))).toEqual([]);
  });

  it('refuses another type, key, partitioning or table, and then changes nothing', () => {
    const before = modelOf([{ name: 'f', type: 'int' }]);
    const added = { name: 'g', type: 'int', default: 0 };
    const after = modelOf([{ name: 'f', type: 'string' }, added]);
    expect(planEvolution(before, after)).toEqual({
      store: 'clickhouse',
      statements: [],
      refused: ['f is Int32, not String'],
    });
    for (const changed of [{ key: ['f'] }, { table: 'others' }]) {
      const { refused } = planEvolution(before, modelOf([{ name: 'f', type: 'int' }], changed));
      expect(refused).toHaveLength(1);
    }
    const { time: _, ...timeless } = spec;
    expect(planEvolution(before, { ...before, spec: timeless }).refused[0]).toContain('toYYYYMM');
  });
});
