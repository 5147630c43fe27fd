import { randomBytes } from 'node:crypto';
import { loadavg } from 'node:os';
import { Client } from '@elastic/elasticsearch';
import { searchConfigSchema } from '../../search/config.ts';
import { ContactSearch, type SearchRequest } from '../../search/search.ts';
import type { Sample } from '../harness/report.ts';
import type { Scenario, ScenarioOptions } from '../harness/scenario.ts';
import { fillIndex, LARGE_TENANT } from './corpus.ts';
import { type QueryKind, queryKinds, queryText } from './queries.ts';

const PERCENTILES = { p50: 0.5, p95: 0.95, p99: 0.99, max: 1 } as const;
/** Searches of a kind and run. */
const SEARCHES = 100;
/** A query that hundreds of thousands match, and its pages of a hundred that are turned. */
const BROAD = 'company';
const DEEP_PAGES = 100;
const WANTED_MS = 50;

/** What a kind of search took, ms, each; and how many found the contact that they were made of. */
interface Taken {
  readonly ms: number[];
  found: number;
}

function figuresOf(ms: readonly number[]): Record<string, number> {
  const sorted = ms.toSorted((a, b) => a - b);
  return Object.fromEntries(
    Object.entries(PERCENTILES).map(([name, share]) => [
      name,
      sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN,
    ]),
  );
}

const REQUEST = { tenants: [LARGE_TENANT], pii: 'shown', limit: 20 } as const;

async function timed(search: ContactSearch, request: SearchRequest, ms: number[]) {
  const began = performance.now();
  const page = await search.search(request);
  ms.push(performance.now() - began);
  return page;
}

async function searches(
  search: ContactSearch,
  kind: QueryKind,
  { records, seed }: ScenarioOptions,
  run: number,
): Promise<Taken> {
  const taken: Taken = { ms: [], found: 0 };
  for (let index = 0; index < SEARCHES; index += 1) {
    // Even numbers are the large tenant's.
    const number = 2 * (((index + run * SEARCHES + seed) * 7_919) % Math.floor(records / 2));
    const text = queryText(kind, number);
    const { contacts } = await timed(search, { ...REQUEST, text }, taken.ms);
    if (contacts.some(({ id }) => id === `c-${number}`)) taken.found += 1;
  }
  return taken;
}

async function deepPages(search: ContactSearch): Promise<number[]> {
  const ms: number[] = [];
  let cursor: string | undefined;
  for (let page = 0; page < DEEP_PAGES; page += 1) {
    ({ cursor } = await timed(search, { ...REQUEST, text: BROAD, limit: 100, cursor }, ms));
    if (cursor === undefined) break;
  }
  return ms;
}

async function measure(search: ContactSearch, options: ScenarioOptions): Promise<Sample[]> {
  const samples: Sample[] = [];
  for (let run = 0; run <= options.runs; run += 1) {
    const all: number[] = [];
    options.onProgress(run === 0 ? 'warming up …' : `run ${run} of ${options.runs} …`);
    const figures: Sample[] = [];
    for (const kind of queryKinds) {
      const { ms, found } = await searches(search, kind, options, run);
      all.push(...ms);
      figures.push({ contestant: kind, run, figures: { ...figuresOf(ms), found } });
    }
    const deep = await deepPages(search);
    const load = loadavg()[0] ?? Number.NaN;
    figures.push(
      { contestant: `pages of ${BROAD}`, run, figures: { ...figuresOf(deep), found: Number.NaN } },
      { contestant: 'all but pages', run, figures: { ...figuresOf(all), found: Number.NaN, load } },
    );
    if (run > 0) samples.push(...figures);
  }
  return samples;
}

/** How long searches take in an index that the sink has filled: half of it one tenant's, who searches. */
export const search: Scenario = {
  name: 'search',
  summary: 'latency of searches in contacts, by kind of query (--records: contacts in the index)',
  peers: false,
  stores: ['elasticsearch'],
  defaults: { records: 1_000_000, warmUp: 0 },
  async run(environment, _contestants, options) {
    const indexPrefix = `bench-search-${randomBytes(3).toString('hex')}-`;
    const elasticsearch = { ...environment.stores.elasticsearch, indexPrefix };
    const admin = new Client({ node: elasticsearch.url });
    const contacts = new ContactSearch(searchConfigSchema.parse({ timeoutMs: 30_000 }), {
      ...elasticsearch,
    });
    try {
      const began = performance.now();
      await fillIndex(elasticsearch, options.records, (done) => {
        if (done % 100_000 === 0) options.onProgress(`${done} contacts …`);
      });
      await admin.indices.refresh({ index: `${indexPrefix}contacts` });
      options.onProgress(`indexed in ${Math.round((performance.now() - began) / 1_000)} s`);
      const samples = await measure(contacts, options);
      const p95 = samples.filter(({ contestant }) => contestant === 'all but pages');
      const worst = Math.max(...p95.map(({ figures }) => figures['p95'] ?? Number.NaN));
      const milliseconds = Object.keys(PERCENTILES).map((figure) => ({
        ...{ figure, title: `${figure} ms`, digits: 1 },
      }));
      const columns = [
        ...milliseconds,
        { figure: 'found', title: `found of ${SEARCHES}`, digits: 0 },
        { figure: 'load', title: 'load', digits: 1 },
      ];
      const ratio = { name: `${WANTED_MS} ms to the worst run’s p95`, value: WANTED_MS / worst };
      return { columns, samples, ratios: [{ ...ratio, target: 1 }] };
    } finally {
      await contacts.close();
      await admin.indices.delete({ index: `${indexPrefix}contacts-v1`, ignore_unavailable: true });
      await admin.indices.deleteIndexTemplate({ name: `${indexPrefix}contacts` });
      await admin.close();
    }
  },
};
