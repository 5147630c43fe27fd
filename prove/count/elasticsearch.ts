import { Client } from '@elastic/elasticsearch';
import { z } from 'zod';
import { eachDocument } from '../../demo/readers/documents.ts';
import type { BalanceRow, EntryRow, StoreFacts } from './facts.ts';

const balanceDoc = z.object({ id: z.string(), balance: z.number() });
const entryDoc = z.object({
  id: z.string(),
  account_id: z.string(),
  teller_id: z.string(),
  branch_id: z.string(),
  delta: z.number(),
});
const eventDoc = z.object({ event_id: z.string() });

/** The sink's indices, as a search sees them. */
export class ElasticsearchCounter {
  readonly #client: Client;

  constructor(url: string) {
    this.#client = new Client({ node: url, maxRetries: 2, requestTimeout: 60_000 });
  }

  async read(): Promise<StoreFacts> {
    const balances = async (table: string) => {
      const found = new Map<string, BalanceRow>();
      await this.#each(`ledger_${table}`, balanceDoc, ({ id, balance }) =>
        found.set(id, { balance, copies: (found.get(id)?.copies ?? 0) + 1 }),
      );
      return found;
    };
    const entries = new Map<string, EntryRow>();
    await this.#each('ledger_entries', entryDoc, (entry) =>
      entries.set(entry.id, {
        account: entry.account_id,
        teller: entry.teller_id,
        branch: entry.branch_id,
        delta: entry.delta,
        copies: (entries.get(entry.id)?.copies ?? 0) + 1,
      }),
    );
    const events = new Map<string, number>();
    await this.#each('events', eventDoc, ({ event_id }) =>
      events.set(event_id, (events.get(event_id) ?? 0) + 1),
    );
    return {
      store: 'elasticsearch',
      ledger: {
        balances: {
          accounts: await balances('accounts'),
          tellers: await balances('tellers'),
          branches: await balances('branches'),
        },
        entries,
      },
      events,
    };
  }

  async #each<T>(index: string, schema: z.ZodType<T>, onDoc: (doc: T) => void): Promise<void> {
    await eachDocument(this.#client, index, (source) => onDoc(schema.parse(source)));
  }

  async close(): Promise<void> {
    await this.#client.close();
  }
}
