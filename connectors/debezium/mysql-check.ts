import type { Connection, RowDataPacket } from 'mysql2/promise';
import type { DatabaseKind } from './config.ts';
import { type SourceProblem, signalTableSql } from './source.ts';

/** What a server must offer for one capture. */
export interface BinlogRequirements {
  readonly kind: Exclude<DatabaseKind, 'postgres'>;
  /** Regular expressions of `<database>.<table>`. */
  readonly tables: readonly string[];
  /** As which the connector reads the binlog. */
  readonly serverId: number;
  /** `<database>.<table>`. */
  readonly signalTable: string | undefined;
}

/** What was found. */
export interface BinlogFacts {
  readonly user: string;
  readonly logBin: boolean;
  readonly binlogFormat: string;
  readonly rowImage: string;
  readonly serverId: number;
  /** MySQL: gtid_mode. MariaDB: gtid_strict_mode. */
  readonly gtid: string;
  /** Global privileges, as information_schema names them. */
  readonly privileges: readonly string[];
  readonly tables: readonly { readonly name: string; readonly hasPrimaryKey: boolean }[];
  readonly hasSignalTable: boolean;
}

// Of columns, not of constraints: those are hidden from who may only read.
const TABLES = `
  SELECT concat(t.table_schema, '.', t.table_name) AS name,
         EXISTS (SELECT 1 FROM information_schema.columns c
                  WHERE c.table_schema = t.table_schema AND c.table_name = t.table_name
                    AND c.column_key = 'PRI') AS hasPrimaryKey
    FROM information_schema.tables t
   WHERE t.table_type = 'BASE TABLE' AND concat(t.table_schema, '.', t.table_name) REGEXP ?
   ORDER BY 1`;

async function rowsOf(
  client: Connection,
  sql: string,
  parameters: string[] = [],
): Promise<RowDataPacket[]> {
  const [rows] = await client.query<RowDataPacket[]>(sql, parameters);
  return rows;
}

/** Reads what `mysqlProblems` judges. */
export async function readBinlogFacts(
  client: Connection,
  required: BinlogRequirements,
): Promise<BinlogFacts> {
  const gtid = required.kind === 'mysql' ? '@@gtid_mode' : '@@gtid_strict_mode';
  const [server] = await rowsOf(
    client,
    `SELECT current_user() AS user, @@log_bin AS logBin, @@binlog_format AS binlogFormat,
            @@binlog_row_image AS rowImage, @@server_id AS serverId, ${gtid} AS gtid`,
  );
  if (server === undefined) throw new Error('the server answered a SELECT without a row');
  const privileges = await rowsOf(
    client,
    'SELECT privilege_type AS name FROM information_schema.user_privileges',
  );
  const pattern = `^(${required.tables.join('|')})$`;
  const tables = await rowsOf(client, TABLES, [pattern]);
  const signal = await rowsOf(client, TABLES, [
    `^(${(required.signalTable ?? '').replaceAll('.', '\\.')})$`,
  ]);
  return {
    user: String(server['user']),
    logBin: Number(server['logBin']) === 1,
    binlogFormat: String(server['binlogFormat']),
    rowImage: String(server['rowImage']),
    serverId: Number(server['serverId']),
    gtid: String(server['gtid']),
    privileges: privileges.map(({ ['name']: name }) => String(name)),
    tables: tables.map((row) => ({
      name: String(row['name']),
      hasPrimaryKey: Number(row['hasPrimaryKey']) === 1,
    })),
    hasSignalTable: signal.length > 0,
  };
}

type Add = (problem: string, fix: string) => void;

const GTID_FIX = {
  mysql:
    'SET PERSIST enforce_gtid_consistency = ON; SET PERSIST gtid_mode = OFF_PERMISSIVE; SET PERSIST gtid_mode = ON_PERMISSIVE; SET PERSIST gtid_mode = ON;',
  mariadb: 'SET GLOBAL gtid_strict_mode = ON; -- and gtid_strict_mode = ON in my.cnf',
} as const;

function serverProblems(facts: BinlogFacts, required: BinlogRequirements, add: Add): void {
  const { kind, serverId } = required;
  if (!facts.logBin) {
    add('the server writes no binlog', 'log_bin = binlog under [mysqld] in my.cnf, then restart');
  }
  if (facts.binlogFormat !== 'ROW') {
    add(
      `binlog_format is ${facts.binlogFormat}, not ROW`,
      "SET GLOBAL binlog_format = 'ROW'; -- and binlog_format = ROW in my.cnf; open sessions keep the old one",
    );
  }
  if (facts.rowImage !== 'FULL') {
    add(
      `binlog_row_image is ${facts.rowImage}, not FULL`,
      "SET GLOBAL binlog_row_image = 'FULL'; -- and binlog_row_image = FULL in my.cnf; open sessions keep the old one",
    );
  }
  if (facts.serverId === 0) add('server_id is 0', 'SET GLOBAL server_id = 1; -- and in my.cnf');
  if (facts.serverId === serverId) {
    add(
      `the server has the id ${serverId}, as which the binlog would be read`,
      'Set debezium.serverId to one of its own.',
    );
  }
  if (!['ON', '1'].includes(facts.gtid)) {
    add(
      kind === 'mysql' ? `gtid_mode is ${facts.gtid}, not ON` : 'gtid_strict_mode is off',
      GTID_FIX[kind],
    );
  }
}

/** What each task needs, any of the names that servers have for it. */
const PRIVILEGES: readonly (readonly [needed: string, ...others: string[]])[] = [
  ['REPLICATION SLAVE'],
  ['REPLICATION CLIENT', 'BINLOG MONITOR'],
  ['RELOAD', 'LOCK TABLES'],
];

/** `'user'@'host'` of current_user(). */
function account(user: string): string {
  const at = user.lastIndexOf('@');
  return `'${user.slice(0, at)}'@'${user.slice(at + 1)}'`;
}

function privilegeProblems(facts: BinlogFacts, add: Add): void {
  const missing = PRIVILEGES.filter(
    (names) => !names.some((name) => facts.privileges.includes(name)),
  ).map(([name]) => name);
  if (missing.length === 0) return;
  add(
    `the user ${facts.user} lacks ${missing.join(', ')}`,
    `GRANT ${missing.join(', ')} ON *.* TO ${account(facts.user)};`,
  );
}

function tableProblems(facts: BinlogFacts, required: BinlogRequirements, add: Add): void {
  for (const pattern of required.tables) {
    if (facts.tables.some(({ name }) => new RegExp(`^(?:${pattern})$`).test(name))) continue;
    const name = pattern.replaceAll('\\', '');
    add(
      `the table ${name} does not exist, or ${facts.user} may not see it`,
      `GRANT SELECT ON ${name} TO ${account(facts.user)}; -- or remove it from debezium.tables`,
    );
  }
  for (const { name, hasPrimaryKey } of facts.tables) {
    if (!hasPrimaryKey) {
      add(`the table ${name} has no primary key`, `ALTER TABLE ${name} ADD PRIMARY KEY (id);`);
    }
  }
  if (required.signalTable !== undefined && !facts.hasSignalTable) {
    add(
      `the signalling table ${required.signalTable} does not exist, and ${facts.user} may not make it`,
      `${signalTableSql(required.signalTable)} GRANT SELECT, INSERT ON ${required.signalTable} TO ${account(facts.user)}; -- or set debezium.signalTable to nothing`,
    );
  }
}

/**
 * Everything that would keep a capture from working, each with its fix. Pure.
 * Source: Debezium 3 documentation, "Setting up MariaDB" and "Setting up MySQL".
 */
export function mysqlProblems(facts: BinlogFacts, required: BinlogRequirements): SourceProblem[] {
  const problems: SourceProblem[] = [];
  const add: Add = (problem, fix) => {
    problems.push({ problem, fix });
  };
  serverProblems(facts, required, add);
  privilegeProblems(facts, add);
  tableProblems(facts, required, add);
  return problems;
}
