import { Client, errors, type estypes } from '@elastic/elasticsearch';
import { ReachflowError } from '../runtime/errors.ts';
import { ProblemError } from '../runtime/http/problem.ts';
import { storeOf } from '../schemas/topics.ts';
import type { SearchConfig } from './config.ts';
import { type FoundContact, foundContact, SOURCE_FIELDS } from './contact.ts';
import { createCursors, type Position, type SortValues } from './cursor.ts';
import {
  abandoned,
  busy,
  cursorExpired,
  cursorInvalid,
  indexMissing,
  queryInvalid,
  timedOut,
  unavailable,
} from './problems.ts';
import { contactQuery, type Query, type TenantScope } from './query.ts';
import { createSnapshots, type Snapshots } from './snapshots.ts';
import { type Term, termsOf } from './terms.ts';

/** Where the contacts are: the Elasticsearch sink's settings. */
export interface SearchStore {
  readonly url: string;
  readonly username: string;
  readonly password: string;
  readonly indexPrefix: string;
}

export interface SearchRequest {
  readonly text: string;
  readonly tenants: TenantScope;
  readonly pii: 'masked' | 'shown';
  /** Contacts of a page, 1 to 100. */
  readonly limit: number;
  /** Of the page before. */
  readonly cursor?: string | undefined;
  /** Ends it early: nobody waits for it any more. */
  readonly signal?: AbortSignal | undefined;
}

export interface SearchPage {
  readonly contacts: readonly FoundContact[];
  /** Where the next page begins; undefined when there is none. */
  readonly cursor: string | undefined;
}

export const MAX_LIMIT = 100;
export const DEFAULT_LIMIT = 20;

/** So many contacts that match as they were asked for are enough; with fewer, misspelled ones follow. */
const ENOUGH = 5;
/** Contacts before which a page is found by its offset. */
const SHALLOW = 1_000;
/** The server ends a search itself a little before we stop waiting. */
const SERVER_SHARE = 0.9;

/** Search in the contacts that the Elasticsearch sink has written. */
export class ContactSearch {
  readonly #config: SearchConfig;
  readonly #client: Client;
  readonly #alias: string;
  readonly #cursors: ReturnType<typeof createCursors>;
  readonly #snapshots: Snapshots;
  #running = 0;

  constructor(config: SearchConfig, store: SearchStore) {
    this.#config = config;
    this.#alias = aliasOf(config, store);
    this.#cursors = createCursors(config.cursorSecret);
    this.#client = new Client({
      node: store.url,
      ...(store.username === ''
        ? {}
        : { auth: { username: store.username, password: store.password } }),
      requestTimeout: config.timeoutMs,
      // Who asked is told, and tries again.
      maxRetries: 0,
    });
    this.#snapshots = createSnapshots(this.#client, {
      index: this.#alias,
      maxAgeMs: config.maxAgeMs,
      keepMs: config.cursorIdleMs,
      now: () => performance.now(),
    });
  }

  /**
   * One page, the best matches first. All pages of a search are of one snapshot of the index: what changes meanwhile neither repeats
   * nor skips a contact.
   * @throws ProblemError 400 for a text, limit or cursor that is none, 410 for a cursor that is too old, 503 when Elasticsearch is
   *   away, slow or overloaded.
   */
  async search(request: SearchRequest): Promise<SearchPage> {
    const { limit } = request;
    if (!Number.isInteger(limit) || limit < 1 || limit > MAX_LIMIT) {
      throw queryInvalid(`limit is a whole number from 1 to ${MAX_LIMIT}`);
    }
    // Before anything is asked for: what is wrong with the text.
    termsOf(request.text, { contactData: request.pii === 'shown' });
    const position = this.#positionOf(request);
    if (this.#running >= this.#config.maxConcurrent) throw busy();
    this.#running += 1;
    try {
      return await this.#page(request, position);
    } finally {
      this.#running -= 1;
    }
  }

  async close(): Promise<void> {
    await this.#client.close();
  }

  /** What a cursor is bound to: whoever sends it must ask for the same, with the same rights. */
  #boundTo({ text, tenants, pii }: SearchRequest): readonly unknown[] {
    return [this.#alias, text, tenants === '*' ? '*' : [...tenants].sort(), pii];
  }

  #positionOf(request: SearchRequest): Position | undefined {
    if (request.cursor === undefined) return undefined;
    const position = this.#cursors.open(request.cursor, this.#boundTo(request));
    if (position === undefined) throw cursorInvalid();
    if (Date.now() - position.since > this.#config.cursorLifeMs) throw cursorExpired();
    return position;
  }

  async #page(request: SearchRequest, position: Position | undefined): Promise<SearchPage> {
    if (position !== undefined) return this.#pageAt(request, position);
    const begin = { snapshot: '', since: Date.now(), offset: 0, after: undefined };
    const page = await this.#pageAt(request, { ...begin, relaxed: false });
    if (page.contacts.length >= Math.min(ENOUGH, request.limit)) return page;
    return this.#pageAt(request, { ...begin, relaxed: true });
  }

  async #pageAt(request: SearchRequest, position: Position): Promise<SearchPage> {
    const { limit, pii, tenants, signal } = request;
    const terms = termsOf(request.text, { contactData: pii === 'shown' });
    const query = queryOf(request, terms, position.relaxed);
    const { hits, snapshot } = await this.#hits(query, limit + 1, position, signal);
    const shown = hits.slice(0, limit);
    const contacts = shown.map((hit) => foundContact(hit._source, terms, pii));
    assertScope(contacts, tenants);
    if (hits.length <= limit) return { contacts, cursor: undefined };
    const next = { ...position, snapshot, offset: position.offset + limit };
    const after = sortValuesOf(shown.at(-1));
    return { contacts, cursor: this.#cursors.seal({ ...next, after }, this.#boundTo(request)) };
  }

  async #hits(
    query: Query,
    size: number,
    position: Position,
    signal: AbortSignal | undefined,
    isRepeated = false,
  ): Promise<Hits> {
    const isNew = position.snapshot === '';
    const snapshot = isNew ? await this.#current() : position.snapshot;
    const { cursorIdleMs, timeoutMs } = this.#config;
    try {
      const answer = await this.#client.search(
        {
          pit: { id: snapshot, keep_alive: `${cursorIdleMs}ms` },
          query,
          size,
          track_total_hits: false,
          _source: SOURCE_FIELDS,
          ...placeOf(position),
          timeout: `${Math.floor(timeoutMs * SERVER_SHARE)}ms`,
          allow_partial_search_results: false,
        },
        signal === undefined ? {} : { signal },
      );
      if (answer.timed_out) throw timedOut();
      return { hits: answer.hits.hits, snapshot: answer.pit_id ?? snapshot };
    } catch (error) {
      if (!isMissing(error)) throw problemOfClient(error);
      if (!isNew) throw cursorExpired(error);
      // The server was restarted, or let go of it: a new search may begin with a new one.
      this.#snapshots.lost(snapshot);
      if (isRepeated) throw unavailable(error);
      return this.#hits(query, size, position, signal, true);
    }
  }

  async #current(): Promise<string> {
    try {
      return await this.#snapshots.current();
    } catch (error) {
      throw isMissing(error) ? indexMissing(this.#alias, error) : problemOfClient(error);
    }
  }
}

interface Hits {
  readonly hits: readonly estypes.SearchHit[];
  /** The snapshot under its latest name. */
  readonly snapshot: string;
}

function queryOf(
  { text, tenants, pii }: SearchRequest,
  terms: readonly Term[],
  relaxed: boolean,
): Query {
  const contactData = pii === 'shown';
  return contactQuery({ text: text.normalize('NFC').trim(), terms, tenants, contactData, relaxed });
}

/**
 * Near the beginning a page is found by its offset, sorted by score alone: then the server leaves out what cannot be among the best,
 * which it cannot when the order of equals is asked for. Deep pages are found by where the one before ended. Both are one order:
 * of equal scores the earlier in the snapshot is first, and scores are exact sums, whatever the order of their parts.
 */
function placeOf({ offset, after }: Position): Place {
  if (after !== undefined) return { sort: BY_SCORE_AND_PLACE, search_after: [...after] };
  return { from: offset, ...(offset < SHALLOW ? {} : { sort: BY_SCORE_AND_PLACE }) };
}

type Place =
  | { readonly from: number }
  | { readonly from: number; readonly sort: estypes.SortCombinations[] }
  | { readonly search_after: number[]; readonly sort: estypes.SortCombinations[] };

const BY_SCORE_AND_PLACE: estypes.SortCombinations[] = [
  { _score: { order: 'desc' } },
  { _shard_doc: { order: 'asc' } },
];

function sortValuesOf(hit: estypes.SearchHit | undefined): SortValues | undefined {
  const [score, document] = (hit?.sort ?? []).map(Number);
  return score === undefined || document === undefined ? undefined : [score, document];
}

/** The query asks for the tenants' contacts only; should that ever break, nothing is shown. */
function assertScope(contacts: readonly FoundContact[], tenants: TenantScope): void {
  if (tenants === '*' || contacts.every(({ tenant_id }) => tenants.includes(tenant_id))) return;
  throw new ReachflowError('the index answered with contacts of another tenant', {
    code: 'TENANT_LEAK',
    domain: 'internal',
    hint: 'Report it. Nothing was shown.',
  });
}

function aliasOf({ contacts }: SearchConfig, { indexPrefix }: SearchStore): string {
  const store = storeOf(contacts);
  if (store === undefined) throw new Error(`no store keeps ${contacts}`);
  return `${indexPrefix}${store.table}`;
}

/** There is no such index, or no such snapshot any more. */
function isMissing(error: unknown): boolean {
  return error instanceof errors.ResponseError && error.statusCode === 404;
}

function problemOfClient(error: unknown): ProblemError {
  if (error instanceof ProblemError) return error;
  if (error instanceof errors.RequestAbortedError) return abandoned(error);
  return error instanceof errors.TimeoutError ? timedOut(error) : unavailable(error);
}
