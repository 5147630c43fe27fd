import pg from 'pg';

/** Rows of one transaction: as an application that writes much would. */
const TRANSACTION_ROWS = 1_000;

/** The table of contacts, as an application writes it. Ids ascend, from 1. */
export class SourceTable {
  readonly #db: pg.Client;
  #last = 0;

  constructor(url: string) {
    this.#db = new pg.Client({ connectionString: url });
  }

  async open(): Promise<void> {
    await this.#db.connect();
    await this.#db.query('TRUNCATE contacts');
    await this.insert(1);
  }

  async close(): Promise<void> {
    await this.#db.query('TRUNCATE contacts');
    await this.#db.end();
  }

  /** Changes its first row. */
  async touch(): Promise<void> {
    await this.#db.query("UPDATE contacts SET full_name = 'again' WHERE id = 1");
  }

  /** Inserts `count` rows; returns the id of the last. */
  async insert(count: number): Promise<number> {
    const end = this.#last + count;
    while (this.#last < end) {
      const to = Math.min(end, this.#last + TRANSACTION_ROWS);
      await this.#db.query(
        `INSERT INTO contacts (id, tenant_id, full_name, email, phone, company_id, tags)
         SELECT g, 'tenant-' || g % 100, 'Contact ' || g, 'c' || g || '@example.com', '+4915112345678', g % 1000, '{a,b}'
           FROM generate_series($1::bigint, $2::bigint) g`,
        [this.#last + 1, to],
      );
      this.#last = to;
    }
    return end;
  }
}
