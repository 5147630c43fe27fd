import pg from 'pg';
import type { CdcPublicCompaniesValue, CdcPublicContactsValue } from '../../schemas/types.ts';
import { eventRowText } from '../verify/events-replay.ts';
import type { SourceTables, StoredContact } from '../verify/facts.ts';
import { toStoredContact } from './contact-row.ts';

/** SQL state of a relation that does not exist: the sink has not made it yet. */
const UNDEFINED_TABLE = '42P01';

const iso = (column: string) =>
  `to_char(${column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS ${column}`;

/** The source tables and the sink's contacts, over a small pool. */
export class PostgresReader {
  readonly #pool: pg.Pool;

  constructor(url: string) {
    this.#pool = new pg.Pool({
      connectionString: url,
      max: 2,
      application_name: 'reachflow-demo-reader',
    });
    // An idle connection that breaks is replaced; without a listener it would end the process.
    this.#pool.on('error', () => undefined);
  }

  /** Contacts in the sink's view; 0 before the sink made it. */
  async countContacts(): Promise<number> {
    try {
      const { rows } = await this.#pool.query<{ n: string }>(
        'SELECT count(*) AS n FROM reachflow.contacts',
      );
      return Number(rows[0]?.n ?? 0);
    } catch (error) {
      if (error instanceof pg.DatabaseError && error.code === UNDEFINED_TABLE) return 0;
      throw error;
    }
  }

  async contacts(): Promise<Map<string, StoredContact>> {
    const { rows } = await this.#pool.query('SELECT * FROM reachflow.contacts');
    return new Map(rows.map(toStoredContact));
  }

  /** All rows of the three source tables. */
  async sourceTables(): Promise<SourceTables> {
    const companies = await this.#pool.query<CdcPublicCompaniesValue>(
      'SELECT id::float8 AS id, tenant_id, name, domain, industry FROM companies',
    );
    const contacts = await this.#pool.query<CdcPublicContactsValue>(
      `SELECT id::float8 AS id, tenant_id, full_name, email, phone, company_id::float8 AS company_id, tags,
              ${iso('created_at')}, ${iso('updated_at')} FROM contacts`,
    );
    const events = await this.#pool.query<Parameters<typeof eventRowText>[0] & { id: number }>(
      `SELECT id::float8 AS id, tenant_id, contact_id::float8 AS contact_id, kind, ${iso('occurred_at')}
       FROM events`,
    );
    return {
      companies: byId(companies.rows),
      contacts: byId(contacts.rows),
      events: new Map(events.rows.map((row) => [String(row.id), eventRowText(row)])),
    };
  }

  async close(): Promise<void> {
    await this.#pool.end().catch(() => undefined);
  }
}

function byId<R extends { readonly id: number }>(rows: readonly R[]): Map<string, R> {
  return new Map(rows.map((row) => [String(row.id), row]));
}
