import type pg from 'pg';
import type { CaptureConfig } from './config.ts';
import { type SourceProblem, signalTableSql } from './source.ts';

/** What a database must offer for one capture. */
export interface CaptureRequirements {
  /** Regular expressions of `<schema>.<table>`. */
  readonly tables: readonly string[];
  readonly slot: string;
  readonly publication: string;
  readonly publicationMode: CaptureConfig['publicationMode'];
  /** `<schema>.<table>`. */
  readonly signalTable: string | undefined;
}

/** A table as the catalog has it. */
export interface TableFacts {
  readonly name: string;
  /** pg_class.relreplident: f(ull), d(efault), i(ndex), n(othing). */
  readonly replicaIdentity: string;
  readonly hasPrimaryKey: boolean;
  readonly isReadable: boolean;
  /** Of the role that owns it. */
  readonly isOwned: boolean;
}

export interface PublicationFacts {
  readonly isOwned: boolean;
  readonly allTables: boolean;
  /** Whether it publishes inserts, updates and deletes. */
  readonly publishesAll: boolean;
  readonly tables: readonly string[];
}

/** What was found: one row of `READINESS`, and one per table of `TABLES`. */
export interface SourceFacts {
  readonly walLevel: string;
  readonly user: string;
  readonly database: string;
  readonly mayReplicate: boolean;
  /** CREATE on the database, which a publication needs. */
  readonly mayCreate: boolean;
  readonly slotsUsed: number;
  readonly maxSlots: number;
  readonly sendersUsed: number;
  readonly maxSenders: number;
  /** The slot of this name, if it exists. */
  readonly slot: {
    readonly plugin: string;
    readonly database: string;
    readonly isLost: boolean;
  } | null;
  readonly publication: PublicationFacts | null;
  /** Whether the signalling table is there; null where none is wanted. */
  readonly hasSignalTable: boolean | null;
  readonly tables: readonly TableFacts[];
}

const READINESS = `
  SELECT current_setting('wal_level') AS "walLevel", current_user AS "user",
         current_database() AS "database",
         coalesce((SELECT rolsuper OR rolreplication FROM pg_roles WHERE rolname = current_user), false)
           AS "mayReplicate",
         has_database_privilege(current_database(), 'CREATE') AS "mayCreate",
         (SELECT count(*)::int FROM pg_replication_slots) AS "slotsUsed",
         current_setting('max_replication_slots')::int AS "maxSlots",
         (SELECT count(*)::int FROM pg_stat_replication) AS "sendersUsed",
         current_setting('max_wal_senders')::int AS "maxSenders",
         (SELECT json_build_object('plugin', plugin, 'database', database,
                                   'isLost', coalesce(wal_status = 'lost', false))
            FROM pg_replication_slots WHERE slot_name = $1) AS "slot",
         (SELECT json_build_object(
                   'isOwned', pg_has_role(p.pubowner, 'USAGE'), 'allTables', p.puballtables,
                   'publishesAll', p.pubinsert AND p.pubupdate AND p.pubdelete,
                   'tables', (SELECT coalesce(json_agg(schemaname || '.' || tablename), '[]')
                                FROM pg_publication_tables t WHERE t.pubname = p.pubname))
            FROM pg_publication p WHERE p.pubname = $2) AS "publication",
         CASE WHEN $3::text IS NULL THEN NULL ELSE to_regclass($3) IS NOT NULL END AS "hasSignalTable"`;

const TABLES = `
  SELECT n.nspname || '.' || c.relname AS name, c.relreplident::text AS "replicaIdentity",
         EXISTS (SELECT 1 FROM pg_index WHERE indrelid = c.oid AND indisprimary) AS "hasPrimaryKey",
         has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT') AS "isReadable",
         pg_has_role(c.relowner, 'USAGE') AS "isOwned"
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
   WHERE c.relkind IN ('r', 'p') AND n.nspname || '.' || c.relname ~ $1
   ORDER BY 1`;

/** Reads what `postgresProblems` judges. */
export async function readFacts(
  client: pg.Client,
  required: CaptureRequirements,
): Promise<SourceFacts> {
  const { slot, publication, signalTable } = required;
  const { rows } = await client.query<Omit<SourceFacts, 'tables'>>(READINESS, [
    slot,
    publication,
    signalTable ?? null,
  ]);
  const pattern = `^(?:${required.tables.join('|')})$`;
  const tables = await client.query<TableFacts>(TABLES, [pattern]);
  const [facts] = rows;
  if (facts === undefined) throw new Error('Postgres answered a SELECT without a row');
  return { ...facts, tables: tables.rows };
}

type Add = (problem: string, fix: string) => void;

function serverProblems(facts: SourceFacts, required: CaptureRequirements, add: Add): void {
  if (facts.walLevel !== 'logical') {
    add(
      `wal_level is ${facts.walLevel}, not logical`,
      'ALTER SYSTEM SET wal_level = logical; -- then restart Postgres',
    );
  }
  if (!facts.mayReplicate) {
    add(`the role ${facts.user} may not replicate`, `ALTER ROLE "${facts.user}" REPLICATION;`);
  }
  if (facts.slot === null && facts.slotsUsed >= facts.maxSlots) {
    add(
      `all ${facts.maxSlots} replication slots are in use`,
      `ALTER SYSTEM SET max_replication_slots = ${facts.maxSlots + 4}; -- then restart Postgres`,
    );
  }
  if (facts.slot === null && facts.sendersUsed >= facts.maxSenders) {
    add(
      `all ${facts.maxSenders} WAL senders are in use`,
      `ALTER SYSTEM SET max_wal_senders = ${facts.maxSenders + 4}; -- then restart Postgres`,
    );
  }
  const { slot } = facts;
  if (slot !== null && (slot.plugin !== 'pgoutput' || slot.database !== facts.database)) {
    add(
      `the slot ${required.slot} belongs to ${slot.plugin} on the database ${slot.database}`,
      'Set debezium.slot to a name of its own.',
    );
  }
}

function tableProblems(facts: SourceFacts, required: CaptureRequirements, add: Add): void {
  for (const pattern of required.tables) {
    if (facts.tables.some(({ name }) => new RegExp(`^(?:${pattern})$`).test(name))) continue;
    const name = pattern.replaceAll('\\', '');
    add(
      `the table ${name} does not exist in ${facts.database}`,
      `Create ${name}, or remove it from debezium.tables.`,
    );
  }
  for (const table of facts.tables) {
    if (!table.isReadable) {
      const schema = table.name.slice(0, table.name.indexOf('.'));
      add(
        `the role ${facts.user} may not read ${table.name}`,
        `GRANT USAGE ON SCHEMA ${schema} TO "${facts.user}"; GRANT SELECT ON ${table.name} TO "${facts.user}";`,
      );
    }
    if (!table.hasPrimaryKey) {
      add(
        `the table ${table.name} has no primary key`,
        `ALTER TABLE ${table.name} ADD PRIMARY KEY (id);`,
      );
    }
    if (table.replicaIdentity !== 'f') {
      add(
        `a delete in ${table.name} would not carry the old row`,
        `ALTER TABLE ${table.name} REPLICA IDENTITY FULL;`,
      );
    }
  }
}

function publicationProblems(facts: SourceFacts, required: CaptureRequirements, add: Add): void {
  const { publication } = facts;
  const name = `"${required.publication}"`;
  const signal = required.signalTable === undefined ? [] : [required.signalTable];
  const wanted = [...facts.tables.map((table) => table.name), ...signal];
  const managed = required.publicationMode === 'filtered';
  const foreign = facts.tables.filter((table) => !table.isOwned).map((table) => table.name);
  if (publication === null) {
    const create = `CREATE PUBLICATION ${name} FOR TABLE ${wanted.join(', ')};`;
    if (!managed) add(`the publication ${required.publication} does not exist`, create);
    else if (!facts.mayCreate || foreign.length > 0) {
      add(
        `the role ${facts.user} may not create the publication ${required.publication}`,
        `${create} -- as the tables' owner, and set debezium.publicationMode to disabled`,
      );
    }
    return;
  }
  if (!publication.publishesAll) {
    add(
      `the publication ${required.publication} leaves out inserts, updates or deletes`,
      `ALTER PUBLICATION ${name} SET (publish = 'insert, update, delete, truncate');`,
    );
  }
  const missing = publication.allTables
    ? []
    : wanted.filter((table) => !publication.tables.includes(table));
  if (missing.length > 0 && !(managed && publication.isOwned)) {
    add(
      `the publication ${required.publication} leaves out ${missing.join(', ')}`,
      `ALTER PUBLICATION ${name} ADD TABLE ${missing.join(', ')};`,
    );
  }
  if (managed && !publication.isOwned) {
    add(
      `the publication ${required.publication} belongs to another role`,
      `ALTER PUBLICATION ${name} OWNER TO "${facts.user}"; -- or set debezium.publicationMode to disabled`,
    );
  }
}

/** Everything that would keep a capture from working, each with its fix. Pure. */
export function postgresProblems(
  facts: SourceFacts,
  required: CaptureRequirements,
): SourceProblem[] {
  const problems: SourceProblem[] = [];
  const add: Add = (problem, fix) => {
    problems.push({ problem, fix });
  };
  serverProblems(facts, required, add);
  tableProblems(facts, required, add);
  publicationProblems(facts, required, add);
  if (facts.hasSignalTable === false && required.signalTable !== undefined) {
    add(
      `the signalling table ${required.signalTable} does not exist, and ${facts.user} may not make it`,
      `${signalTableSql(required.signalTable)} GRANT SELECT, INSERT ON ${required.signalTable} TO "${facts.user}"; -- or set debezium.signalTable to nothing`,
    );
  }
  return problems;
}
