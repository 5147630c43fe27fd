import { Client } from '@elastic/elasticsearch';
import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Sink, SinkRecord } from '../runtime/delivery/sink.ts';
import type { Contact } from '../schemas/types.ts';
import { elasticsearchConfigSchema } from '../sinks/elasticsearch/config.ts';
import { removePrefix, uniquePrefix } from '../sinks/elasticsearch/fixtures.ts';
import { createElasticsearchSink } from '../sinks/elasticsearch/sink.ts';
import { tableModel } from '../sinks/fields.ts';
import { batchOf, contactRecord } from '../sinks/fixtures.ts';
import { testStack } from '../tests/integration/stack.ts';
import { startProxyTo, throughProxy } from '../tests/support/tcp-proxy.ts';
import { searchConfigSchema } from './config.ts';
import { createSearchServer, type SearchServer } from './server.ts';

const logger = pino({ level: 'silent' });
const token = (name: string) => `${name}-token-of-24-characters`;
const PAGED = 2_300;

interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly ids: readonly string[];
  readonly text: string;
  readonly cursor: string | undefined;
  readonly code: unknown;
}

describe('search in contacts, through the sink and over HTTP', () => {
  const indexPrefix = uniquePrefix();
  let sink: Sink;
  let server: SearchServer;
  let proxy: Awaited<ReturnType<typeof startProxyTo>>;
  let admin: Client;
  let version = 1n;

  beforeAll(async () => {
    const { url } = testStack().elasticsearch;
    admin = new Client({ node: url });
    const config = elasticsearchConfigSchema.parse({ url, indexPrefix, refresh: 'true' });
    sink = createElasticsearchSink(config, { logger }, [tableModel('contact.golden')]);
    await sink.open();
    proxy = await startProxyTo(url, 9200);
    const clients = {
      acme: { tokens: [token('acme')], tenants: ['acme'], pii: 'shown' },
      globex: { tokens: [token('globex')], tenants: ['globex'], pii: 'shown' },
      both: { tokens: [token('both')], tenants: ['acme', 'globex'], pii: 'shown' },
      viewer: { tokens: [token('viewer')], tenants: ['acme'] },
      all: { tokens: [token('all')], tenants: '*', pii: 'shown' },
    };
    server = createSearchServer(
      // Each search sees what was written before it.
      searchConfigSchema.parse({ port: 0, clients, maxAgeMs: 0, timeoutMs: 20_000 }),
      { url: throughProxy(url, proxy), username: '', password: '', indexPrefix },
      logger,
    );
    await server.start();
    await write([
      [
        'ada',
        { full_name: 'Ada Lovelace', email: 'ada@engine.example', company: 'Analytical Ltd' },
      ],
      ['grace', { full_name: 'Grace Hopper', email: 'Grace@Navy.example', company: 'US Navy' }],
      ['zoe', { full_name: 'Zoë Müller-Ångström', email: 'z@x.example', tags: ['key account'] }],
      ['other', { full_name: 'Ada Lovelace', tenant_id: 'globex', email: 'ada@globex.example' }],
    ]);
  });

  afterAll(async () => {
    await server.stop();
    await sink.close();
    await proxy.close();
    await removePrefix(admin, indexPrefix);
    await admin.close();
  });

  async function write(
    contacts: readonly (readonly [id: string, fields: Partial<Contact> | null])[],
  ): Promise<void> {
    version += 1n;
    const plain = { company: null, tags: [], phone: null };
    const records: SinkRecord[] = contacts.map(([id, fields]) =>
      contactRecord(id, version, fields === null ? null : { ...plain, ...fields }),
    );
    const results = await sink.write(batchOf(records));
    expect(results.every(({ status }) => status === 'delivered')).toBe(true);
  }

  async function ask(
    q: string,
    query: Readonly<Record<string, string>> = {},
    who = 'acme',
  ): Promise<Answer> {
    const url = `${server.url()}/api/v1/contacts/search?${new URLSearchParams({ q, ...query })}`;
    const response = await fetch(url, { headers: { authorization: `Bearer ${token(who)}` } });
    const text = await response.text();
    const body = JSON.parse(text) as {
      data?: { id: string }[];
      pagination?: { cursor: string | null };
      code?: string;
    };
    return {
      ...{ status: response.status, headers: response.headers, text, code: body.code },
      ids: body.data?.map(({ id }) => id) ?? [],
      cursor: body.pagination?.cursor ?? undefined,
    };
  }

  it.each([
    ['a name', 'ada lovelace', ['ada']],
    ['words in another order and case', 'LOVELACE Ada', ['ada']],
    ['the beginning of the last word', 'grace hop', ['grace']],
    ['its first letter', 'grace h', ['grace']],
    ['a misspelled name', 'grace hoppper', ['grace']],
    ['a name without its accents', 'muller angstrom', ['zoe']],
    ['a part of a name', 'ovelac', ['ada']],
    ['an address, in whatever case', 'GRACE@navy.EXAMPLE', ['grace']],
    ['the beginning of an address', 'ada@eng', ['ada']],
    ['a misspelled address', 'grace@nvay.example', ['grace']],
    ['a name and its company', 'hopper navy', ['grace']],
    ['a tag of two words', 'key account', ['zoe']],
    ['a word that is not there', 'ada babbage', []],
  ])('finds by %s', async (_what, q, ids) => {
    expect((await ask(q)).ids).toEqual(ids);
  });

  it.each(['*', '*:*', '" OR tenant_id:globex', '{"match_all":{}}', 'globex', 'tenant_id:globex'])(
    'a tenant sees its own contacts only, whatever it asks: %s',
    async (q) => {
      const { status, ids } = await ask(q);
      expect([200, 400]).toContain(status);
      expect(ids).not.toContain('other');
    },
  );

  it('each token finds what is its tenants’, and may not name another', async () => {
    expect((await ask('ada lovelace', {}, 'globex')).ids).toEqual(['other']);
    expect((await ask('ada lovelace', {}, 'both')).ids.toSorted()).toEqual(['ada', 'other']);
    expect((await ask('ada lovelace', {}, 'all')).ids.toSorted()).toEqual(['ada', 'other']);
    expect((await ask('ada lovelace', { tenant: 'globex' }, 'both')).ids).toEqual(['other']);
    expect(await ask('ada', { tenant: 'globex' })).toMatchObject({
      status: 403,
      code: 'TENANT_FORBIDDEN',
    });
    expect(await ask('ada', {}, 'nobody')).toMatchObject({ status: 401, code: 'TOKEN_INVALID' });
  });

  it('addresses are neither shown to a viewer nor found by one', async () => {
    const { text } = await ask('ada lovelace', {}, 'viewer');
    expect(text).toContain('a***@engine.example');
    expect(text).not.toContain('ada@engine');
    expect((await ask('z@x.example', {}, 'viewer')).ids).toEqual([]);
  });

  it('what is deleted is not found any more, and what is changed only as it is now', async () => {
    await write([['gone', { full_name: 'Charles Babbage', email: 'cb@x.example' }]]);
    expect((await ask('babbage')).ids).toEqual(['gone']);
    await write([['gone', { full_name: 'Konrad Zuse', email: 'kz@x.example' }]]);
    expect((await ask('babbage')).ids).toEqual([]);
    expect((await ask('zuse')).ids).toEqual(['gone']);
    await write([['gone', null]]);
    expect((await ask('zuse')).ids).toEqual([]);
    expect((await ask('kz@x.example', {}, 'all')).ids).toEqual([]);
  });

  it('pages, shallow and deep, neither repeat nor skip a contact while the index changes', async () => {
    const many = Array.from({ length: PAGED }, (_, n) => `page-${n}`);
    const named = (id: string, n: number): [string, Partial<Contact>] => [
      id,
      { full_name: n % 3 === 0 ? 'Paula Paged' : `Paula Paged ${n}`, email: `${id}@x.example` },
    ];
    await write(many.map(named));
    const seen: string[] = [];
    let cursor: string | undefined;
    let turned = 0;
    do {
      const page = await ask('paula paged', { limit: '100', ...(cursor && { cursor }) });
      expect(page.status).toBe(200);
      seen.push(...page.ids);
      cursor = page.cursor;
      turned += 1;
      if (turned % 5 === 0) {
        await write([
          [`page-${turned}`, null],
          [`page-${PAGED - turned}`, { full_name: 'Somebody Else', email: 's@x.example' }],
          [`late-${turned}`, { full_name: 'Paula Paged Late', email: 'l@x.example' }],
        ]);
      }
    } while (cursor !== undefined && turned < 100);
    expect(seen).toHaveLength(PAGED);
    expect(new Set(seen)).toEqual(new Set(many));
    expect((await ask('paula late')).ids).toContain('late-5');
  });

  it('a cursor is for the search, the tenants and the rights that it was made for', async () => {
    const { cursor = '' } = await ask('paula paged');
    expect(cursor).not.toBe('');
    expect((await ask('paula paged', { cursor })).status).toBe(200);
    const refused = { status: 400, code: 'CURSOR_INVALID' };
    expect(await ask('paula paged', { cursor }, 'globex')).toMatchObject(refused);
    expect(await ask('paula paged', { cursor }, 'both')).toMatchObject(refused);
    expect(await ask('paula paged', { cursor }, 'viewer')).toMatchObject(refused);
    expect(await ask('ada', { cursor })).toMatchObject(refused);
    expect(await ask('paula paged', { cursor: `${cursor.slice(0, -2)}AA` })).toMatchObject(refused);
  });

  it.each([
    { limit: '0' },
    { limit: '101' },
    { limit: '1e9' },
    { q: '' },
    { q: 'x'.repeat(300) },
    { unknown: '1' },
  ])('%j is refused', async (query) => {
    expect(await ask('ada', query as unknown as Record<string, string>)).toMatchObject({
      ...{ status: 400, code: 'QUERY_INVALID' },
    });
  });

  it('serves its page, which runs nothing but its own script', async () => {
    const response = await fetch(`${server.url()}/`);
    expect(response.status).toBe(200);
    expect(response.headers.get('content-security-policy')).toContain("default-src 'none'");
    expect(await response.text()).toContain('search.js');
    expect((await fetch(`${server.url()}/search.js`)).status).toBe(200);
  });

  it('while Elasticsearch is away it says when to come back, and then goes on', async () => {
    const { cursor = '' } = await ask('paula paged');
    await proxy.cut();
    const away = await ask('ada');
    expect(away).toMatchObject({ status: 503, code: 'SEARCH_UNAVAILABLE' });
    expect(Number(away.headers.get('retry-after'))).toBeGreaterThan(0);
    await proxy.restore();
    expect((await ask('ada lovelace')).ids).toEqual(['ada']);
    expect((await ask('paula paged', { cursor })).status).toBe(200);
  });
});
