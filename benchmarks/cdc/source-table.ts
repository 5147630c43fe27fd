import pg from 'pg';

/** Rows of one transaction: as an application that writes much would. */
const TRANSACTION_ROWS = 1_000;

/** Single inserts at a time: a commit waits for the disk, and others must not wait for it. */
export const WRITERS = 8;

/** The table of contacts, as an application writes it. Ids ascend, from 1. */
export class SourceTable {
  readonly #db: pg.Pool;
  #last = 0;

  constructor(url: string) {
    this.#db = new pg.Pool({ connectionString: url, max: WRITERS });
  }

  async open(): Promise<void> {
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

  /** Inserts `count` rows, one transaction after another. */
  async insert(count: number): Promise<void> {
    const end = this.#last + count;
    while (this.#last < end) {
      const from = this.#last + 1;
      this.#last = Math.min(end, this.#last + TRANSACTION_ROWS);
      await this.#write(from, this.#last);
    }
  }

  /** Inserts a row; returns its id. May be called again meanwhile. */
  async insertOne(): Promise<number> {
    this.#last += 1;
    const id = this.#last;
    await this.#write(id, id);
    return id;
  }

  async #write(from: number, to: number): Promise<void> {
    await this.#db.query(
      `INSERT INTO contacts (id, tenant_id, full_name, email, phone, company_id, tags)
       SELECT g, 'tenant-' || g % 100, 'Contact ' || g, 'c' || g || '@example.com', '+4915112345678', g % 1000, '{a,b}'
         FROM generate_series($1::bigint, $2::bigint) g`,
      [from, to],
    );
  }
}
