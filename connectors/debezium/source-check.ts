import pg from 'pg';
import { errorCode, errorMessage, ReachflowError } from '../../runtime/errors.ts';

/** What a database must offer for one capture. */
export interface CaptureRequirements {
  /** `<schema>.<table>`. */
  readonly tables: readonly string[];
  readonly slot: string;
}

/** What was found, as one row of `READINESS` and one per table of `TABLES`. */
export interface SourceFacts {
  readonly walLevel: string;
  readonly user: string;
  readonly database: string;
  readonly mayReplicate: boolean;
  readonly slotsUsed: number;
  readonly maxSlots: number;
  /** The slot of this name, if it exists. */
  readonly slot: { readonly plugin: string; readonly database: string } | null;
  readonly tables: readonly {
    readonly name: string;
    /** pg_class.relreplident: f(ull), d(efault), i(ndex), n(othing); null when there is no such table. */
    readonly replicaIdentity: string | null;
    readonly hasPrimaryKey: boolean;
  }[];
}

/** One thing that is wrong, and what to do about it: SQL, or a sentence. */
export interface SourceProblem {
  readonly problem: string;
  readonly fix: string;
}

const READINESS = `
  SELECT current_setting('wal_level') AS "walLevel", current_user AS "user",
         current_database() AS "database",
         coalesce((SELECT rolsuper OR rolreplication FROM pg_roles WHERE rolname = current_user), false)
           AS "mayReplicate",
         (SELECT count(*)::int FROM pg_replication_slots) AS "slotsUsed",
         current_setting('max_replication_slots')::int AS "maxSlots",
         (SELECT json_build_object('plugin', plugin, 'database', database)
            FROM pg_replication_slots WHERE slot_name = $1) AS "slot"`;

const TABLES = `
  SELECT name, relreplident::text AS "replicaIdentity",
         EXISTS (SELECT 1 FROM pg_index WHERE indrelid = c.oid AND indisprimary) AS "hasPrimaryKey"
    FROM unnest($1::text[]) WITH ORDINALITY AS wanted (name, nr)
    LEFT JOIN pg_class c ON c.oid = to_regclass(wanted.name) AND c.relkind IN ('r', 'p')
   ORDER BY nr`;

/** Everything that would keep a capture from working, each with its fix. Pure. */
export function sourceProblems(facts: SourceFacts, required: CaptureRequirements): SourceProblem[] {
  const problems: SourceProblem[] = [];
  const add = (problem: string, fix: string): void => {
    problems.push({ problem, fix });
  };
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
  if (
    facts.slot !== null &&
    (facts.slot.plugin !== 'pgoutput' || facts.slot.database !== facts.database)
  ) {
    add(
      `the slot ${required.slot} belongs to ${facts.slot.plugin} on the database ${facts.slot.database}`,
      'Set debezium.slot to a name of its own.',
    );
  }
  for (const table of facts.tables) {
    if (table.replicaIdentity === null) {
      add(
        `the table ${table.name} does not exist in ${facts.database}`,
        `Create ${table.name}, or remove it from debezium.tables.`,
      );
      continue;
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
  return problems;
}

/** Password, role, database or permission: wrong until somebody changes it (SQLSTATE classes 28, 3D and 42). */
function isRefusal(error: unknown): boolean {
  return /^(28|3D|42)/.test(errorCode(error) ?? '');
}

/**
 * Looks whether change data can be captured from a database.
 * @throws ReachflowError `CDC_SOURCE_NOT_READY` naming every problem, with the SQL to run as its hint;
 *   `CDC_SOURCE_REFUSED` when it does not let us in; `CDC_SOURCE_UNAVAILABLE` (retry: backoff).
 */
export async function checkSource(
  databaseUrl: string,
  required: CaptureRequirements,
): Promise<void> {
  const problems = sourceProblems(await readFacts(databaseUrl, required), required);
  if (problems.length === 0) return;
  const what = problems.map(({ problem }) => problem).join('; ');
  throw new ReachflowError(`the source database is not ready for change data capture: ${what}`, {
    code: 'CDC_SOURCE_NOT_READY',
    domain: 'user',
    hint: problems.map(({ fix }) => fix).join('\n'),
  });
}

async function readFacts(databaseUrl: string, required: CaptureRequirements): Promise<SourceFacts> {
  return withSource(databaseUrl, async (client) => {
    const { rows } = await client.query<Omit<SourceFacts, 'tables'>>(READINESS, [required.slot]);
    const tables = await client.query<SourceFacts['tables'][number]>(TABLES, [
      [...required.tables],
    ]);
    const [facts] = rows;
    if (facts === undefined) throw new Error('Postgres answered a SELECT without a row');
    return { ...facts, tables: tables.rows };
  });
}

/**
 * Runs `work` on a connection of its own.
 * @throws ReachflowError `CDC_SOURCE_REFUSED` or `CDC_SOURCE_UNAVAILABLE` for what the database answers.
 */
export async function withSource<T>(
  databaseUrl: string,
  work: (client: pg.Client) => Promise<T>,
): Promise<T> {
  const client = new pg.Client({
    connectionString: databaseUrl,
    connectionTimeoutMillis: 5_000,
    query_timeout: 10_000,
    application_name: 'reachflow-cdc-check',
  });
  // A connection that breaks between queries is reported by the next one.
  client.on('error', () => undefined);
  try {
    await client.connect();
    return await work(client);
  } catch (error) {
    if (error instanceof ReachflowError) throw error;
    const refused = isRefusal(error);
    throw new ReachflowError(
      `the source database ${refused ? 'refused' : 'does not answer'}: ${errorMessage(error)}`,
      {
        code: refused ? 'CDC_SOURCE_REFUSED' : 'CDC_SOURCE_UNAVAILABLE',
        domain: refused ? 'user' : 'external',
        retry: refused ? 'none' : 'backoff',
        hint: refused
          ? 'Check user, password, database and rights of the source URL.'
          : 'Is it running, and is the source URL right?',
        cause: error,
      },
    );
  } finally {
    await client.end().catch(() => undefined);
  }
}
