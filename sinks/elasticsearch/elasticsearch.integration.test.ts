import { randomUUID } from 'node:crypto';
import { Client } from '@elastic/elasticsearch';
import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Sink } from '../../runtime/delivery/sink.ts';
import type { Contact } from '../../schemas/types.ts';
import { testStack } from '../../tests/integration/stack.ts';
import { startProxyTo, throughProxy } from '../../tests/support/tcp-proxy.ts';
import { describeSinkConformance, type SinkHarness } from '../conformance.ts';
import { batchOf, contact, contactRecord } from '../fixtures.ts';
import { elasticsearchConfigSchema } from './config.ts';
import { createElasticsearchSink } from './sink.ts';

const deps = { logger: pino({ level: 'silent' }) };

function uniquePrefix(): string {
  return `sink-test-${randomUUID().slice(0, 8)}-`;
}

/** A document's source; read as text, since JSON.parse would round its version. */
async function readContact(index: string, id: string): Promise<Contact | null> {
  const url = `${testStack().elasticsearch.url}/${index}/_source/${encodeURIComponent(id)}`;
  const response = await fetch(url);
  if (response.status === 404) return null;
  if (!response.ok) throw new Error(`${response.status}: ${await response.text()}`);
  const text = await response.text();
  const exact = text.replace(/"version":(\d+)\}$/, '"version":"$1"}');
  const source = JSON.parse(exact) as Contact & { version: string };
  return { ...source, version: BigInt(source.version) };
}

/** Every document with the version that the index keeps, by id. */
async function dump(reader: Client, index: string): Promise<unknown> {
  await reader.indices.refresh({ index });
  const documents: unknown[] = [];
  const scroll = reader.helpers.scrollSearch({
    index,
    size: 5_000,
    version: true,
    sort: ['_doc'],
  });
  for await (const page of scroll) {
    for (const { _id, _version, _source } of page.body.hits.hits) {
      documents.push([_id, _version, _source]);
    }
  }
  return documents.sort((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1));
}

async function startHarness(): Promise<SinkHarness> {
  const { url } = testStack().elasticsearch;
  const indexPrefix = uniquePrefix();
  const index = `${indexPrefix}contacts`;
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
    read: async (id) => (id === '' || Buffer.byteLength(id) > 512 ? null : readContact(index, id)),
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
      await reader.indices.delete({ index, ignore_unavailable: true });
      await reader.close();
      await proxy.close();
    },
  };
}

describeSinkConformance('elasticsearch', startHarness);

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
    await reader.indices.delete({ index, ignore_unavailable: true });
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

  it('makes the index with a strict mapping and remembers deletes for as long as configured', async () => {
    const settings = await reader.indices.getSettings({ index });
    expect(settings[index]?.settings?.index?.gc_deletes).toBe('7d');
    const mapping = await reader.indices.getMapping({ index });
    expect(mapping[index]?.mappings.dynamic).toBe('strict');

    const again = create({ gcDeletes: '2h' });
    await again.open();
    await again.close();
    const changed = await reader.indices.getSettings({ index });
    expect(changed[index]?.settings?.index?.gc_deletes).toBe('2h');
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

  it('refuses an index with another mapping', async () => {
    const other = uniquePrefix();
    await reader.indices.create({
      index: `${other}contacts`,
      mappings: { properties: { full_name: { type: 'keyword' } } },
    });
    const misplaced = create({ indexPrefix: other });
    await expect(misplaced.open()).rejects.toMatchObject({
      code: 'ELASTICSEARCH_SETTINGS',
      retry: 'none',
    });
    await misplaced.close();
    await reader.indices.delete({ index: `${other}contacts` });
  });

  it('answers retry, not rejected, while the index is blocked for writes', async () => {
    const record = contactRecord('blocked', 1n);
    await reader.indices.putSettings({ index, settings: { index: { blocks: { write: true } } } });
    const [blocked] = await sink.write(batchOf([record]));
    await reader.indices.putSettings({ index, settings: { index: { blocks: { write: false } } } });
    expect(blocked).toMatchObject({ status: 'retry', error: { code: 'ELASTICSEARCH_REFUSED' } });
    const [delivered] = await sink.write(batchOf([record]));
    expect(delivered?.status).toBe('delivered');
    expect(await readContact(index, 'blocked')).toEqual(contact('blocked', 1n));
  });
});
