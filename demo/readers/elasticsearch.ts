import { Client, errors } from '@elastic/elasticsearch';
import type { StoredContact } from '../verify/facts.ts';
import { toStoredContact } from './contact-row.ts';
import { eachDocument } from './documents.ts';

const INDEX = 'contacts';

/** The sink's index. */
export class ElasticsearchReader {
  readonly #client: Client;

  constructor(url: string) {
    this.#client = new Client({ node: url, maxRetries: 1, requestTimeout: 30_000 });
  }

  /** Documents that a search finds; 0 before the sink made the index. */
  async countContacts(): Promise<number> {
    try {
      return (await this.#client.count({ index: INDEX })).count;
    } catch (error) {
      if (error instanceof errors.ResponseError && error.statusCode === 404) return 0;
      throw error;
    }
  }

  /** All contacts. */
  async contacts(): Promise<Map<string, StoredContact>> {
    const found = new Map<string, StoredContact>();
    await eachDocument(this.#client, INDEX, (source, id) => {
      const [, contact] = toStoredContact(source);
      found.set(id, contact);
    });
    return found;
  }

  async close(): Promise<void> {
    await this.#client.close();
  }
}
