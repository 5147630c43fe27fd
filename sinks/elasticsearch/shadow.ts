import { Client, type estypes } from '@elastic/elasticsearch';
import { ReachflowError } from '../../runtime/errors.ts';
import type { TableModel } from '../fields.ts';
import {
  type Exchange,
  type KeyField,
  keyOf,
  SCAN_ROWS,
  type ShadowStore,
  type Side,
  type StoredRow,
} from '../shadow.ts';
import { isNotFound } from './classify.ts';
import type { ElasticsearchConfig } from './config.ts';
import { aliasFilter, namesOf } from './indices.ts';

const KEEP_ALIVE = '5m';

type Document = Readonly<Record<string, unknown>>;

/** Indices of a replay in Elasticsearch: all its aliases are moved by one request. */
class ElasticsearchShadow implements ShadowStore {
  readonly store = 'elasticsearch';
  readonly #client: Client;
  readonly #prefix: string;
  /** By alias, of the plans made: what an alias shows. */
  readonly #models: () => readonly TableModel[];

  constructor(config: ElasticsearchConfig, models: () => readonly TableModel[]) {
    const { url, username, password, requestTimeoutMs } = config;
    this.#prefix = config.indexPrefix;
    this.#models = models;
    this.#client = new Client({
      node: url,
      ...(username === '' ? {} : { auth: { username, password } }),
      requestTimeout: requestTimeoutMs,
    });
  }

  async *scan(model: TableModel): AsyncIterable<readonly StoredRow[]> {
    const { alias: index } = namesOf(model, this.#prefix);
    await this.#client.indices.refresh({ index });
    const key = keyOf(model);
    const { id } = await this.#client.openPointInTime({ index, keep_alive: KEEP_ALIVE });
    try {
      let after: estypes.SortResults | undefined;
      for (;;) {
        const { hits } = await this.#client.search<Document>({
          pit: { id, keep_alive: KEEP_ALIVE },
          size: SCAN_ROWS,
          track_total_hits: false,
          sort: key.map(({ name }) => ({ [name]: 'asc' as const })),
          ...(after === undefined ? {} : { search_after: after }),
        });
        if (hits.hits.length > 0) yield hits.hits.map((hit) => stored(model, key, hit._source));
        after = hits.hits.at(-1)?.sort;
        if (hits.hits.length < SCAN_ROWS) return;
      }
    } finally {
      await this.#client.closePointInTime({ id }).catch(() => undefined);
    }
  }

  async lookup(model: TableModel, keys: readonly (readonly string[])[]): Promise<StoredRow[]> {
    const { alias: index } = namesOf(model, this.#prefix);
    await this.#client.indices.refresh({ index });
    const key = keyOf(model);
    const found: StoredRow[] = [];
    const most = 500;
    for (let i = 0; i < keys.length; i += most) {
      const should = keys.slice(i, i + most).map((values) => ({
        bool: {
          filter: key.map(({ name, kind }, k) => ({
            term: { [name]: kind === 'text' ? (values[k] ?? '') : Number(values[k]) },
          })),
        },
      }));
      const { hits } = await this.#client.search<Document>({
        index,
        size: most,
        query: { bool: { should, minimum_should_match: 1 } },
      });
      found.push(...hits.hits.map((hit) => stored(model, key, hit._source)));
    }
    return found;
  }

  async plan(live: readonly TableModel[], shadows: readonly TableModel[]): Promise<Exchange[]> {
    const exchanges: Exchange[] = [];
    for (const [i, model] of live.entries()) {
      const [names, shadow] = [
        namesOf(model, this.#prefix),
        namesOf(shadows[i] ?? model, this.#prefix),
      ];
      for (const { alias } of [names, shadow]) {
        if ((await this.#behind(alias)).length === 0)
          throw cannotSwap(
            `there is no alias ${alias}`,
            'Has the live pipeline run, and the replay?',
          );
      }
      exchanges.push({
        ...{ topic: model.topic, live: names.alias, shadow: shadow.alias },
        ...{ liveId: names.base, shadowId: shadow.base },
      });
    }
    return exchanges;
  }

  async exchange(exchanges: readonly Exchange[], side: Side): Promise<void> {
    const actions: estypes.IndicesUpdateAliasesAction[] = [];
    for (const { topic, live, shadow, liveId, shadowId } of exchanges) {
      const wanted = side === 'live' ? liveId : shadowId;
      const now = await this.#behind(live);
      if (now.some((index) => isOf(index, wanted))) continue;
      const next = (await this.#behind(shadow)).filter((index) => isOf(index, wanted));
      const model = this.#models().find((one) => one.topic === topic);
      const filter = model === undefined ? {} : aliasFilter(model);
      for (const [indices, from, to] of [
        [now, live, shadow],
        [next, shadow, live],
      ] as const) {
        for (const index of indices) {
          actions.push({ remove: { index, alias: from } });
          actions.push({ add: { index, alias: to, ...filter } });
        }
      }
    }
    if (actions.length > 0) await this.#client.indices.updateAliases({ actions });
  }

  async #behind(alias: string): Promise<string[]> {
    try {
      return Object.keys(await this.#client.indices.getAlias({ name: alias }));
    } catch (error) {
      if (isNotFound(error)) return [];
      throw error;
    }
  }

  async drop(shadows: readonly TableModel[]): Promise<void> {
    for (const model of shadows) {
      // After a swap the alias of the replay is on the indices of the generation before.
      const { alias, template } = namesOf(model, this.#prefix);
      for (const index of await this.#behind(alias)) await this.#client.indices.delete({ index });
      await this.#client.indices.deleteIndexTemplate({ name: template }).catch((error: unknown) => {
        if (!isNotFound(error)) throw error;
      });
    }
  }

  async room(): Promise<number | undefined> {
    const { nodes } = await this.#client.nodes.stats({ metric: 'fs' });
    const free = Object.values(nodes).flatMap(({ fs }) => fs?.total?.available_in_bytes ?? []);
    return free.length === 0 ? undefined : free.reduce((sum, one) => sum + one, 0);
  }

  async close(): Promise<void> {
    await this.#client.close();
  }
}

/** Is it an index of a base: `contacts-v1` of `contacts`, and not `contacts__r_fix-v1`? */
function isOf(index: string, base: string): boolean {
  return index.startsWith(`${base}-`);
}

function stored(
  model: TableModel,
  key: readonly KeyField[],
  document: Document | undefined,
): StoredRow {
  const fields = Object.fromEntries(
    model.fields.map(({ name }) => [name, textOf(document?.[name])]),
  );
  return { key: key.map(({ name }) => fields[name] ?? ''), fields };
}

function textOf(value: unknown): string | null {
  if (value === null || value === undefined) return null;
  return typeof value === 'string' ? value : JSON.stringify(value);
}

function cannotSwap(message: string, hint: string): ReachflowError {
  return new ReachflowError(message, { code: 'SHADOW_CANNOT_SWAP', domain: 'user', hint });
}

/** Elasticsearch as a replay sees it. Connects when first used. @param models what aliases show. */
export function createElasticsearchShadow(
  config: ElasticsearchConfig,
  models: () => readonly TableModel[],
): ShadowStore {
  return new ElasticsearchShadow(config, models);
}
