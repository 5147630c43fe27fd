import { Resolutions } from '../../runtime/delivery/resolutions.ts';
import { topicPartitions } from '../../runtime/kafka/admin.ts';
import type { Topology } from '../../runtime/topology/graph.ts';
import { storeOf, topicNames } from '../../schemas/topics.ts';
import type { SinkConfigs } from '../../sinks/registry.ts';
import { type Described, describe, mentions } from './describe.ts';
import { originsOf } from './link.ts';
import type { Trace } from './model.ts';
import { topicPaths } from './paths.ts';
import {
  type SearchDeps,
  type SearchedTopic,
  type SearchOptions,
  SearchResult,
  search,
  searchedTopics,
} from './search.ts';
import { findStates, type SoughtTask } from './states.ts';
import { lookUpRows, type SoughtRow } from './stores.ts';

export interface TraceDeps extends SearchDeps {
  readonly topologies: readonly Topology[];
  /** Undefined leaves the stores out. */
  readonly stores: SinkConfigs | undefined;
}

export interface TraceOptions {
  /** A record's key, or an id that is in its value. */
  readonly query: string;
  /** Only topics whose name contains this. */
  readonly topic?: string | undefined;
  /** Timestamps of records, ms since the epoch: what is older is not looked at. */
  readonly since: number;
  readonly onProgress?: ((topic: string, share: number, bytes: number) => void) | undefined;
}

/**
 * Finds a record by its key or by an id in it, and what became of it: in topics, DLQs and retries, state and stores. A key is
 * looked for in the partition that it belongs to. What is no key is looked for in all partitions, back to `since`; from then on
 * by the keys of what was found.
 * @throws ReachflowError as `readPartition`, `REGISTRY_UNAVAILABLE`.
 */
export async function traceRecord(deps: TraceDeps, options: TraceOptions): Promise<Trace> {
  const { client } = deps;
  const { query, since, onProgress } = options;
  const topics = searchedTopics(await topicPartitions(client), options.topic);
  const found = new SearchResult();
  const common = { needle: query, since, onProgress };
  await search(deps, { ...common, topics, keys: [query], byKey: true }, found);
  const isKey = [...found.hits.values()].some(({ record }) => record.key?.includes(query) === true);
  if (!isKey) await searchById(deps, { ...common, topics }, found);
  const described = await Promise.all([...found.hits.values()].map((hit) => describe(deps, hit)));
  const meant = described.filter(
    (each) => each.visit.key === query || mentions(each.value, query) || each.value === undefined,
  );
  const resolutions = await Resolutions.read(client);
  const visits = meant
    .map((each) => resolved(each, resolutions))
    .sort((a, b) => a.visit.timestamp - b.visit.timestamp || rank(a.hit) - rank(b.hit));
  const paths = topicPaths(deps.topologies);
  const linked = originsOf(visits, paths, query);
  const tasks = new Map<string, SoughtTask>();
  for (const { hit } of visits) {
    for (const { from, pipeline, stateful } of paths) {
      if (stateful === undefined || from !== hit.base) continue;
      const task = { pipeline, subTopology: stateful.name, partition: hit.partition };
      tasks.set(Object.values(task).join('/'), task);
    }
  }
  return {
    query,
    visits: linked,
    states: await findStates(client, { tasks: [...tasks.values()], needle: query, since }),
    stores: deps.stores === undefined ? [] : await lookUpRows(deps.stores, rowsOf(visits)),
    searched: {
      partitions: found.partitions,
      records: found.records,
      bytes: found.bytes,
      isTruncated: found.isTruncated,
    },
  };
}

function resolved(each: Described, resolutions: Resolutions): Described {
  const { visit, letter } = each;
  if (visit.kind !== 'dead letter' || letter === undefined || visit.failure === undefined)
    return each;
  const { topic, partition, offset } = visit;
  const resolution = resolutions.of(topic, partition, offset, letter.lastFailure) ?? 'open';
  return { ...each, visit: { ...visit, failure: { ...visit.failure, resolution } } };
}

/**
 * Looks for an id in all partitions of one topic after the other; once it was found, only in the partitions of its record's
 * keys: what a pipeline makes of a record mostly has its key, or one that does not carry the id.
 */
async function searchById(
  deps: SearchDeps,
  options: Omit<SearchOptions, 'keys' | 'byKey'>,
  found: SearchResult,
): Promise<void> {
  // Topics of the map, in its order: sources first; then DLQs and retries.
  const topics = options.topics.toSorted((a, b) => rank(a) - rank(b));
  for (const topic of topics) {
    const keys = new Set(
      [...found.hits.values()].map(({ record }) => record.key?.toString('utf8') ?? ''),
    );
    const where = keys.size === 0 ? 'all' : [...keys];
    await search(deps, { ...options, topics: [topic], keys: where, byKey: false }, found);
  }
}

/** Sources come before what was made of them, records before their letters. */
function rank({ topic, base }: SearchedTopic): number {
  return topicNames.indexOf(base) + (topic === base ? 0 : topicNames.length);
}

/** Rows of the stores, one for each key. */
function rowsOf(visits: readonly Described[]): SoughtRow[] {
  const rows = new Map<string, SoughtRow>();
  for (const { hit, visit, value } of visits) {
    const spec = storeOf(hit.base);
    if (spec === undefined || visit.kind !== 'record') continue;
    const given = value === null ? {} : (value as Record<string, unknown> | undefined);
    if (given === undefined) continue;
    const key = Object.fromEntries(spec.key.map((name) => [name, given[name] ?? visit.key]));
    rows.set(`${spec.table}/${Object.values(key).join('/')}`, { spec, key, visit: visit.id });
  }
  return [...rows.values()];
}
