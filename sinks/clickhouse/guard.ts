import { ReachflowError } from '../../runtime/errors.ts';
import type { ClickhouseSession } from './session.ts';
import { DEDUPLICATION_WINDOW, qualified } from './tables.ts';

/** Blocks that a table has to remember at least: what other partitions write while one recovers from a crash. */
export const MIN_WINDOW = 10_000;
/** The same as time, which replicated tables know too, s. */
const MIN_WINDOW_SECONDS = 3_600;
/** Tables that rows of one table reach through views, at most; nobody has that many. */
const MAX_TABLES = 1_000;

interface TableRow {
  readonly database: string;
  readonly name: string;
  readonly engine: string;
  readonly engine_full: string;
  readonly dependencies_database: readonly string[];
  readonly dependencies_table: readonly string[];
  readonly target_database: string;
  readonly target_table: string;
}

interface TableName {
  readonly database: string;
  readonly name: string;
}

/** The value of a setting of a table: its own, which the server prints with its engine, or the server's. */
type SettingOf = (row: TableRow, name: string) => number;

function nameOf({ database, name }: TableName): string {
  return qualified(database, name);
}

function windowFault(row: TableRow, settingOf: SettingOf): string | undefined {
  const replicated = /^(Replicated|Shared)/.test(row.engine);
  const window = replicated
    ? 'replicated_deduplication_window'
    : 'non_replicated_deduplication_window';
  const checks = [
    { name: window, least: MIN_WINDOW, advised: DEDUPLICATION_WINDOW },
    ...(replicated
      ? [
          {
            name: 'replicated_deduplication_window_seconds',
            least: MIN_WINDOW_SECONDS,
            advised: 604_800,
          },
        ]
      : []),
  ];
  for (const { name, least, advised } of checks) {
    const value = settingOf(row, name);
    if (value >= least) continue;
    return `${nameOf(row)} has ${name} = ${value}, at least ${least} is needed: ALTER TABLE ${nameOf(row)} MODIFY SETTING ${name} = ${advised}`;
  }
  return undefined;
}

function faultOf(row: TableRow, settingOf: SettingOf): string | undefined {
  if (row.engine.endsWith('MergeTree')) return windowFault(row, settingOf);
  if (row.engine === 'MaterializedView' || row.engine === 'Null') return undefined;
  return `${nameOf(row)} has the engine ${row.engine}, which does not drop repeats: let the view write to a MergeTree table`;
}

/** Where rows of a table go next: a view's target, or a table's views. */
function nextOf(row: TableRow): readonly TableName[] {
  if (row.engine === 'MaterializedView') {
    return row.target_table === ''
      ? []
      : [{ database: row.target_database, name: row.target_table }];
  }
  return row.dependencies_table.map((name, i) => ({
    database: row.dependencies_database[i] ?? row.database,
    name,
  }));
}

async function serverSettings(session: ClickhouseSession): Promise<SettingOf> {
  const of = async (table: string): Promise<ReadonlyMap<string, string>> => {
    const query = `SELECT name, value FROM system.${table} WHERE name LIKE {like: String}`;
    const found = await session.rows<{ name: string; value: string }>(query, {
      like: '%replicated_deduplication_window%',
    });
    return new Map(found.map(({ name, value }) => [name, value]));
  };
  const [plain, replicated] = await Promise.all([
    of('merge_tree_settings'),
    of('replicated_merge_tree_settings'),
  ]);
  return ({ engine, engine_full }, name) => {
    const own = new RegExp(`[ ,]${name} = (\\d+)`).exec(engine_full)?.[1];
    const server = (engine.startsWith('Replicated') ? replicated : plain).get(name);
    return Number(own ?? server ?? 0);
  };
}

/**
 * Checks that a batch that comes again is dropped in the table, and in each table that its views fill, however far down.
 * @throws ReachflowError `CLICKHOUSE_DEDUPLICATION` naming each table, its setting and the statement that corrects it.
 */
export async function checkDeduplication(
  session: ClickhouseSession,
  table: TableName,
): Promise<void> {
  const settingOf = await serverSettings(session);
  const faults: string[] = [];
  const seen = new Set<string>();
  let waiting: readonly TableName[] = [table];
  while (waiting.length > 0 && seen.size < MAX_TABLES) {
    const next: TableName[] = [];
    for (const name of waiting) {
      if (seen.has(nameOf(name))) continue;
      seen.add(nameOf(name));
      const [row] = await session.rows<TableRow>(
        `SELECT database, name, engine, engine_full, dependencies_database, dependencies_table, target_database, target_table
         FROM system.tables WHERE database = {database: String} AND name = {name: String}`,
        { ...name },
      );
      if (row === undefined) continue;
      const fault = faultOf(row, settingOf);
      if (fault !== undefined) faults.push(fault);
      next.push(...nextOf(row));
    }
    waiting = next;
  }
  if (faults.length === 0) return;
  throw new ReachflowError(
    `ClickHouse would keep a batch twice that comes again after a crash: ${faults.join('; ')}`,
    {
      code: 'CLICKHOUSE_DEDUPLICATION',
      domain: 'user',
      hint: 'Run the statements named, then start again.',
    },
  );
}
