import { Client } from '@elastic/elasticsearch';
import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Sink } from '../../runtime/delivery/sink.ts';
import { testStack } from '../../tests/integration/stack.ts';
import { startProxyTo, throughProxy } from '../../tests/support/tcp-proxy.ts';
import { describeSinkConformance, type SinkHarness } from '../conformance.ts';
import { tableModel } from '../fields.ts';
import { batchOf, contact, contactRecord } from '../fixtures.ts';
import { elasticsearchConfigSchema } from './config.ts';
import { countFields } from './evolution.ts';
import { dump, readContact, removePrefix, uniquePrefix } from './fixtures.ts';
import { propertiesOf, settingsOf } from './schema.ts';
import { createElasticsearchSink } from './sink.ts';

const deps = { logger: pino({ level: 'silent' }) };

async function startHarness(): Promise<SinkHarness> {
  const { url } = testStack().elasticsearch;
  const indexPrefix = uniquePrefix();
  const index = `${indexPrefix}contacts-v1`;
  const proxy = await startProxyTo(url, 9200);
  const reader = new Client({ node: url });
  const config = elasticsearchConfigSchema.parse({
    url: throughProxy(url, proxy),
    indexPrefix,
    requestTimeoutMs: 5_000,
  });
  return {
    create: () => createElasticsearchSink(config, deps),
    // `_id` is at most 512 bytes; a longer one cannot be asked for, and an empty one is another request.
    read: async (id) =>
      id === '' || Buffer.byteLength(id) > 512 ? null : readContact(url, index, id),
    dump: () => dump(reader, index),
    outage: proxy,
    poison: [
      {
        name: 'a score beyond float',
        fields: { score: 1e300 },
        code: 'ELASTICSEARCH_REJECTED',
        names: /score/,
      },
      {
        name: 'a tenant longer than a term',
        fields: { tenant_id: 't'.repeat(40_000) },
        code: 'ELASTICSEARCH_REJECTED',
        names: /tenant_id/,
      },
    ],
    async destroy() {
      await removePrefix(reader, indexPrefix);
      await reader.close();
      await proxy.close();
    },
  };
}

describeSinkConformance('elasticsearch', startHarness);

function contactSettings() {
  return settingsOf(propertiesOf(tableModel('contact.golden')), 1);
}

describe('elasticsearch sink', () => {
  const indexPrefix = uniquePrefix();
  const index = `${indexPrefix}contacts`;
  let reader: Client;
  let sink: Sink;
  const create = (fields: Readonly<Record<string, unknown>> = {}) =>
    createElasticsearchSink(
      elasticsearchConfigSchema.parse({
        url: testStack().elasticsearch.url,
        indexPrefix,
        refresh: 'true',
        ...fields,
      }),
      deps,
    );

  beforeAll(async () => {
    reader = new Client({ node: testStack().elasticsearch.url });
    sink = create();
    await sink.open();
  });

  afterAll(async () => {
    await sink.close();
    await removePrefix(reader, indexPrefix);
    await reader.close();
  });

  async function found(query: Record<string, unknown>): Promise<readonly (string | undefined)[]> {
    const { hits } = await reader.search({ index, query, size: 10, sort: ['id'] });
    return hits.hits.map((hit) => hit._id);
  }

  it('is searched by whole words, parts of words, exact values and without accents', async () => {
    await sink.write(
      batchOf([
        contactRecord('s-1', 1n),
        contactRecord('s-2', 1n, {
          full_name: 'Grace Hopper',
          email: 'Grace@Navy.example',
          company: 'US Navy',
          tags: ['cobol'],
        }),
      ]),
    );
    expect(await found({ match: { full_name: 'hopper' } })).toEqual(['s-2']);
    expect(
      await found({ match: { 'full_name.ngram': { query: 'angstr', operator: 'and' } } }),
    ).toEqual(['s-1']);
    expect(await found({ term: { 'full_name.keyword': 'Grace Hopper' } })).toEqual(['s-2']);
    expect(await found({ term: { email: 'GRACE@navy.example' } })).toEqual(['s-2']);
    expect(await found({ term: { tags: 'cobol' } })).toEqual(['s-2']);
    expect(await found({ match: { company: 'navy' } })).toEqual(['s-2']);
    expect(await found({ range: { created_at: { gte: '2026-01-01', lt: '2026-01-02' } } })).toEqual(
      ['s-1', 's-2'],
    );
  });

  it('makes a template, and a strict index behind an alias that hides what was deleted', async () => {
    const [first] = Object.entries(await reader.indices.get({ index }));
    expect(first?.[0]).toBe(`${index}-v1`);
    expect(first?.[1].mappings).toMatchObject({
      dynamic: 'strict',
      _meta: { owner: 'reachflow', topic: 'contact.golden' },
    });
    const { index_templates } = await reader.indices.getIndexTemplate({ name: index });
    const [template] = index_templates;
    expect(template?.index_template.index_patterns).toEqual([`${index}-v*`]);
    await sink.write(
      batchOf([contactRecord('d-1', 1n), contactRecord('d-2', 1n), contactRecord('d-1', 2n, null)]),
    );
    const ids = { terms: { id: ['d-1', 'd-2'] } };
    expect(await found(ids)).toEqual(['d-2']);
    const behind = await reader.search({ index: `${index}-v1`, query: ids, sort: ['id'] });
    expect(behind.hits.hits.map(({ _id }) => _id)).toEqual(['d-1', 'd-2']);
  });

  it('writes to where the alias leads: a new index takes over in one step', async () => {
    await sink.write(batchOf([contactRecord('swap', 1n)]));
    // The template gives it the mapping.
    await reader.indices.create({ index: `${index}-v2` });
    const move = (from: string, to: string) =>
      reader.indices.updateAliases({
        actions: [
          { remove: { index: `${index}-${from}`, alias: index } },
          { add: { index: `${index}-${to}`, alias: index } },
        ],
      });
    await move('v1', 'v2');
    const results = await sink.write(batchOf([contactRecord('swap', 2n)]));
    expect(results.map(({ status }) => status)).toEqual(['delivered']);
    const { url } = testStack().elasticsearch;
    expect(await readContact(url, `${index}-v2`, 'swap')).toMatchObject({ version: 2n });
    expect(await readContact(url, `${index}-v1`, 'swap')).toMatchObject({ version: 1n });
    // Whoever moved it may have forgotten the filter.
    const next = create();
    await next.open();
    await next.close();
    const aliases = await reader.indices.getAlias({ name: index });
    expect(aliases[`${index}-v2`]?.aliases[index]?.filter).toBeDefined();
    await move('v2', 'v1');
    await sink.open();
  });

  it('makes no index of its own accord where the alias is gone', async () => {
    const away = uniquePrefix();
    const lost = create({ indexPrefix: away });
    await lost.open();
    await reader.indices.delete({ index: `${away}contacts-v1` });
    const [result] = await lost.write(batchOf([contactRecord('1', 1n)]));
    expect(result).toMatchObject({ status: 'retry', of: 'store' });
    expect(await reader.indices.exists({ index: `${away}contacts` })).toBe(false);
    await lost.close();
    await removePrefix(reader, away);
  });

  it('rejects alone a key longer than an _id, which would fail the whole bulk request', async () => {
    const results = await sink.write(
      batchOf([
        contactRecord('l-1', 1n),
        contactRecord('é'.repeat(257), 1n),
        contactRecord('é'.repeat(256), 1n),
      ]),
    );
    expect(results.map((result) => result.status)).toEqual(['delivered', 'rejected', 'delivered']);
  });

  it('refuses an index with another mapping, naming the field, and changes nothing', async () => {
    const other = uniquePrefix();
    await reader.indices.create({
      index: `${other}contacts-v1`,
      aliases: { [`${other}contacts`]: {} },
      mappings: { properties: { full_name: { type: 'keyword' } } },
    });
    const misplaced = create({ indexPrefix: other });
    await expect(misplaced.open()).rejects.toMatchObject({
      code: 'ELASTICSEARCH_SETTINGS',
      retry: 'none',
      message: expect.stringContaining('full_name is keyword, not text'),
    });
    await misplaced.close();
    expect(await reader.indices.existsIndexTemplate({ name: `${other}contacts` })).toBe(false);
    await removePrefix(reader, other);
  });

  it('refuses an index that has the name of the alias', async () => {
    const other = uniquePrefix();
    await reader.indices.create({ index: `${other}contacts` });
    const misplaced = create({ indexPrefix: other });
    await expect(misplaced.open()).rejects.toMatchObject({ code: 'ELASTICSEARCH_SETTINGS' });
    await misplaced.close();
    await removePrefix(reader, other);
  });

  it('refuses more fields than the index may have before the server does', async () => {
    const other = uniquePrefix();
    const names = Array.from({ length: 982 }, (_, i) => `old_${i}`);
    const properties = Object.fromEntries(names.map((name) => [name, { type: 'long' } as const]));
    await reader.indices.create({
      index: `${other}contacts-v1`,
      aliases: { [`${other}contacts`]: {} },
      mappings: { properties },
      settings: contactSettings(),
    });
    const crowded = create({ indexPrefix: other });
    await expect(crowded.open()).rejects.toMatchObject({
      code: 'ELASTICSEARCH_SETTINGS',
      message: expect.stringMatching(/1001 fields .* 1000 /),
    });
    await crowded.close();
    await removePrefix(reader, other);
  });

  it('counts fields as the server does: the last one that fits does', async () => {
    const other = uniquePrefix();
    const properties = propertiesOf(tableModel('contact.golden'));
    const fields = countFields(properties);
    const tight = {
      index: `${other}contacts-v1`,
      aliases: { [`${other}contacts`]: {} },
      settings: { ...contactSettings(), 'index.mapping.total_fields.limit': fields },
    };
    await reader.indices.create(tight);
    const fits = create({ indexPrefix: other });
    await fits.open();
    await fits.close();
    await expect(
      reader.indices.putMapping({
        index: tight.index,
        properties: { one_more: { type: 'long' } },
      }),
    ).rejects.toMatchObject({ statusCode: 400 });
    await removePrefix(reader, other);
  });

  it('answers retry, not rejected, while the index is blocked for writes', async () => {
    const record = contactRecord('blocked', 1n);
    await reader.indices.putSettings({ index, settings: { index: { blocks: { write: true } } } });
    const [blocked] = await sink.write(batchOf([record]));
    await reader.indices.putSettings({ index, settings: { index: { blocks: { write: false } } } });
    expect(blocked).toMatchObject({ status: 'retry', error: { code: 'ELASTICSEARCH_REFUSED' } });
    const [delivered] = await sink.write(batchOf([record]));
    expect(delivered?.status).toBe('delivered');
    expect(await readContact(testStack().elasticsearch.url, index, 'blocked')).toEqual(
      contact('blocked', 1n),
    );
  });
});
