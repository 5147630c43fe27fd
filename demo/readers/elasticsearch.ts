import { Client, errors, type estypes } from '@elastic/elasticsearch';
import type { StoredContact } from '../verify/facts.ts';
import { toStoredContact } from './contact-row.ts';

const INDEX = 'contacts';
const PAGE = 2_000;
/** Pages of one read: more than any demo fills, so that the loop has an end. */
const MAX_PAGES = 5_000;

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

  /** All documents, refreshed first, page by page over a point in time. */
  async contacts(): Promise<Map<string, StoredContact>> {
    await this.#client.indices.refresh({ index: INDEX });
    const { id } = await this.#client.openPointInTime({ index: INDEX, keep_alive: '1m' });
    const found = new Map<string, StoredContact>();
    try {
      let after: estypes.SortResults | undefined;
      for (let page = 0; page < MAX_PAGES; page += 1) {
        const { hits } = await this.#client.search<Record<string, unknown>>({
          pit: { id, keep_alive: '1m' },
          size: PAGE,
          sort: [{ _shard_doc: 'asc' }],
          track_total_hits: false,
          ...(after === undefined ? {} : { search_after: after }),
        });
        for (const { _id, _source } of hits.hits) {
          const [, contact] = toStoredContact(_source);
          found.set(_id ?? '', contact);
        }
        after = hits.hits.at(-1)?.sort;
        if (after === undefined || hits.hits.length < PAGE) return found;
      }
      throw new Error(`more than ${MAX_PAGES * PAGE} contacts in Elasticsearch`);
    } finally {
      await this.#client.closePointInTime({ id }).catch(() => undefined);
    }
  }

  async close(): Promise<void> {
    await this.#client.close();
  }
}
