import type { Client } from '@elastic/elasticsearch';
import { DAY_MS, dayOfIndex } from './indices.ts';
import { DELETED, DELETED_AT } from './schema.ts';
import { type IndexedTopic, putTemplate, templateNow } from './setup.ts';

/** Emptied documents that one pass purges at most; the rest waits for the next. */
const PURGE_LIMIT = 20_000;
const PURGE_PAGE = 1_000;

/** Indices that one pass deletes at most. */
const EXPIRE_LIMIT = 31;

/** How large a shard of a day may become, and how many a day may have. */
export const SHARD_BYTES = 50 * 1024 ** 3;
export const SHARD_DOCUMENTS = 100_000_000;
const MAX_SHARDS = 64;

/**
 * Removes the remainders of documents that were deleted before `before`, a bounded number of them. One that was written
 * again meanwhile stays: the delete is for the document as the search saw it.
 * @param before ms since the epoch. @param signal ends it early. @returns how many are gone. @throws errors of the client.
 */
export async function purgeDeleted(
  client: Client,
  { names }: IndexedTopic,
  before: number,
  signal?: AbortSignal,
): Promise<number> {
  // The alias hides them: its indices are searched by their own names.
  const indices = Object.keys(await client.indices.getAlias({ name: names.alias }));
  let purged = 0;
  for (let page = 0; page < PURGE_LIMIT / PURGE_PAGE; page += 1) {
    const { hits } = await client.search({
      index: indices,
      size: PURGE_PAGE,
      seq_no_primary_term: true,
      _source: false,
      track_total_hits: false,
      query: {
        bool: {
          filter: [{ term: { [DELETED]: true } }, { range: { [DELETED_AT]: { lt: before } } }],
        },
      },
    });
    const operations = hits.hits.flatMap(({ _index, _id, _seq_no, _primary_term }) =>
      _id === undefined || _seq_no === undefined || _primary_term === undefined
        ? []
        : [{ delete: { _index, _id, if_seq_no: _seq_no, if_primary_term: _primary_term } }],
    );
    if (operations.length === 0) return purged;
    const { items } = await client.bulk({ operations, filter_path: 'items.*.status' });
    const done = items.filter((item) => item.delete?.status === 200).length;
    purged += done;
    // The next page must not find them again.
    await client.indices.refresh({ index: indices });
    if (hits.hits.length < PURGE_PAGE || done === 0 || signal?.aborted === true) return purged;
  }
  return purged;
}

/**
 * Deletes the indices of days that ended before `before`: where the server has no lifecycle management. Only those that
 * the sink's template made, of this topic.
 * @param before ms since the epoch. @returns their names. @throws errors of the client.
 */
export async function expireDays(
  client: Client,
  { model, names }: IndexedTopic,
  before: number,
): Promise<readonly string[]> {
  const found = await client.indices.get({
    index: names.pattern,
    features: 'mappings',
    filter_path: '*.mappings._meta',
  });
  const expired = Object.entries(found ?? {})
    .filter(([index, { mappings }]) => {
      const day = dayOfIndex(index, names.base);
      const meta = mappings?._meta;
      const ours = meta?.['owner'] === 'reachflow' && meta['topic'] === model.topic;
      return ours && day !== undefined && day + DAY_MS <= before;
    })
    .map(([index]) => index)
    .sort()
    .slice(0, EXPIRE_LIMIT);
  if (expired.length > 0) await client.indices.delete({ index: expired, ignore_unavailable: true });
  return expired;
}

/** How much a day, or a shard, holds. */
interface Size {
  readonly bytes: number;
  readonly documents: number;
}

/** Primary shards of a day as large as that, so that none is larger than the server searches well. */
export function shardsFor({ bytes, documents }: Size, most = SHARD_LIMITS): number {
  const needed = Math.max(Math.ceil(bytes / most.bytes), Math.ceil(documents / most.documents));
  return Math.min(MAX_SHARDS, Math.max(1, needed));
}

const SHARD_LIMITS: Size = { bytes: SHARD_BYTES, documents: SHARD_DOCUMENTS };

/**
 * Gives the days to come more shards when a day has grown too large for its own. The shards of a day that is there never change:
 * they decide where an id is, and with another number of them it would be found, and refused, no more.
 * @param most of a shard. @returns the shards of days to come. @throws errors of the client.
 */
export async function growDays(
  client: Client,
  topic: IndexedTopic,
  lifecycle: boolean,
  most = SHARD_LIMITS,
): Promise<number> {
  const { names } = topic;
  const { indices } = await client.indices.stats({
    index: names.pattern,
    metric: ['docs', 'store'],
    filter_path: ['indices.*.primaries.docs.count', 'indices.*.primaries.store.size_in_bytes'],
  });
  const days = Object.entries(indices ?? {}).filter(
    ([index]) => dayOfIndex(index, names.base) !== undefined,
  );
  const needed = days.map(([, { primaries }]) =>
    shardsFor(
      { bytes: primaries?.store?.size_in_bytes ?? 0, documents: primaries?.docs?.count ?? 0 },
      most,
    ),
  );
  const { shards } = await templateNow(client, names);
  const more = Math.max(shards, ...needed);
  if (more > shards) await putTemplate(client, topic, { lifecycle, shards: more });
  return more;
}
