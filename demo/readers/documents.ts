import type { Client, estypes } from '@elastic/elasticsearch';

const PAGE = 2_000;
/** Pages of one read: more than any run fills, so that the loop has an end. */
const MAX_PAGES = 5_000;

/**
 * Hands over every document of an index or alias, refreshed first, page by page over a point in time.
 * @throws Error when there are more than ten million.
 */
export async function eachDocument(
  client: Client,
  index: string,
  onDocument: (source: Record<string, unknown> | undefined, id: string) => void,
): Promise<void> {
  await client.indices.refresh({ index });
  const { id } = await client.openPointInTime({ index, keep_alive: '1m' });
  try {
    let after: estypes.SortResults | undefined;
    for (let page = 0; page < MAX_PAGES; page += 1) {
      const { hits } = await client.search<Record<string, unknown>>({
        pit: { id, keep_alive: '1m' },
        size: PAGE,
        sort: [{ _shard_doc: 'asc' }],
        track_total_hits: false,
        ...(after === undefined ? {} : { search_after: after }),
      });
      for (const { _id, _source } of hits.hits) onDocument(_source, _id ?? '');
      after = hits.hits.at(-1)?.sort;
      if (after === undefined || hits.hits.length < PAGE) return;
    }
    throw new Error(`more than ${MAX_PAGES * PAGE} documents in ${index}`);
  } finally {
    await client.closePointInTime({ id }).catch(() => undefined);
  }
}
