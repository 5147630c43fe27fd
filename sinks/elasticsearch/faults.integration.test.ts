import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from '@elastic/elasticsearch';
import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { defaultCacheDir } from '../../compose/config.ts';
import { stackLayout } from '../../compose/embedded/layout.ts';
import { signalProcess } from '../../compose/embedded/process-identity.ts';
import { readProcessNow } from '../../compose/embedded/state.ts';
import { resetStack, upStack } from '../../compose/stack.ts';
import type { RecordResult, Sink, SinkRecord } from '../../runtime/delivery/sink.ts';
import { testStack } from '../../tests/integration/stack.ts';
import { startProxyTo, throughProxy } from '../../tests/support/tcp-proxy.ts';
import { batchOf, contactRecord } from '../fixtures.ts';
import { elasticsearchConfigSchema } from './config.ts';
import { dump, eventRecord, readContact, removePrefix, uniquePrefix } from './fixtures.ts';
import { createElasticsearchSink } from './sink.ts';

function sinkOn(url: string, fields: Readonly<Record<string, unknown>> = {}): Sink {
  return createElasticsearchSink(elasticsearchConfigSchema.parse({ url, ...fields }), {
    logger: pino({ level: 'silent' }),
  });
}

function statuses(results: readonly RecordResult[]): readonly string[] {
  return [...new Set(results.map(({ status }) => status))].sort();
}

/** As the runner does: again until all of it is delivered. */
async function deliver(sink: Sink, records: readonly SinkRecord[]): Promise<void> {
  let waiting = records;
  for (let attempt = 0; attempt < 300 && waiting.length > 0; attempt += 1) {
    const results = await sink.write(batchOf(waiting));
    expect(statuses(results)).not.toContain('rejected');
    waiting = waiting.filter((_, i) => results[i]?.status !== 'delivered');
    if (waiting.length > 0) await sleep(100);
  }
  expect(waiting).toEqual([]);
}

describe('elasticsearch sink under faults', () => {
  const indexPrefix = uniquePrefix();
  const index = `${indexPrefix}contacts-v1`;
  let reader: Client;

  beforeAll(() => {
    reader = new Client({ node: testStack().elasticsearch.url });
  });

  afterAll(async () => {
    await removePrefix(reader, indexPrefix);
    await reader.close();
  });

  it('writes each record once when the connection is cut between bulk and answer', async () => {
    const { url } = testStack().elasticsearch;
    const proxy = await startProxyTo(url, 9200);
    const sink = sinkOn(throughProxy(url, proxy), { indexPrefix, refresh: 'wait_for' });
    await sink.open();
    // The server writes, and then waits for a refresh that does not come: no answer is under way.
    await reader.indices.putSettings({ index, settings: { refresh_interval: '-1' } });
    const records = Array.from({ length: 200 }, (_, i) => contactRecord(`cut-${i}`, 7n));
    const writing = sink.write(batchOf(records));
    await expect
      .poll(() => reader.exists({ index, id: 'cut-199' }), { timeout: 60_000, interval: 50 })
      .toBe(true);
    await proxy.cut();
    const results = await writing;
    expect(results).toHaveLength(200);
    expect(statuses(results)).toEqual(['retry']);
    await proxy.restore();
    await reader.indices.putSettings({ index, settings: { refresh_interval: '1s' } });
    await deliver(sink, records);
    const documents = await dump(reader, index);
    expect(documents).toHaveLength(200);
    expect(documents.every((document) => (document as unknown[])[1] === 7)).toBe(true);
    await sink.close();
    await proxy.close();
  });

  it('rejects alone, with its size, a document larger than a request may be', async () => {
    const sink = sinkOn(testStack().elasticsearch.url, { indexPrefix });
    await sink.open();
    const now = Date.now();
    const results = await sink.write(
      batchOf([
        eventRecord('small-1', now),
        eventRecord('huge', now, { payload: 'x'.repeat(101 * 1_048_576) }),
        eventRecord('small-2', now),
      ]),
    );
    expect(results.map(({ status }) => status)).toEqual(['delivered', 'rejected', 'delivered']);
    expect(results[1]).toMatchObject({
      error: {
        code: 'ELASTICSEARCH_REJECTED',
        message: expect.stringMatching(/1059\d+ bytes .*http\.max_content_length of 104857600/),
      },
    });
    await sink.close();
  });

  it('retries what the server has no memory for (429), and splits what is more than a request', async () => {
    const sink = sinkOn(testStack().elasticsearch.url, { indexPrefix });
    await sink.open();
    const now = Date.now();
    // A tenth of the heap is what documents under way may take: es_rejected_execution_exception.
    const heavy = eventRecord('heavy', now, { payload: 'x'.repeat(60 * 1_048_576) });
    const [result] = await sink.write(batchOf([heavy]));
    expect(result).toMatchObject({
      ...{ status: 'retry', of: 'store' },
      error: {
        code: 'ELASTICSEARCH_REFUSED',
        message: expect.stringContaining('es_rejected_execution_exception'),
      },
    });
    // 12 MB of documents at once are three requests.
    const many = Array.from({ length: 24 }, (_, i) =>
      eventRecord(`many-${i}`, now, { payload: 'y'.repeat(512 * 1_024), tenant_id: 'many' }),
    );
    await deliver(sink, many);
    const events = `${indexPrefix}events`;
    await reader.indices.refresh({ index: events });
    const { count } = await reader.count({ index: events, query: { term: { tenant_id: 'many' } } });
    expect(count).toBe(24);
    await sink.close();
  });
});

describe('elasticsearch node killed', () => {
  let dir = '';
  const start = async () =>
    upStack({
      ...{ engine: 'embedded', dir, components: ['elasticsearch'], onProgress: () => undefined },
      cacheDir: process.env['REACHFLOW_STACK_CACHE_DIR'] ?? defaultCacheDir(),
    });

  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'reachflow-es-'));
  });

  afterAll(async () => {
    await resetStack(dir);
    await rm(dir, { recursive: true, force: true });
  });

  it('has every record once after kill -9 in the middle of a write, and stale ones stay deleted', {
    timeout: 400_000,
  }, async () => {
    const { endpoints } = await start();
    const { url } = endpoints.elasticsearch;
    const sink = sinkOn(url);
    await sink.open();
    const now = Date.now();
    // Deleted, and never there: a restart makes the server forget the versions of plain deletes.
    await deliver(sink, [contactRecord('gone', 5n), contactRecord('gone', 9n, null)]);
    await deliver(sink, [contactRecord('never', 9n, null)]);
    const batches = Array.from({ length: 4 }, (_, partition) =>
      Array.from({ length: 1_000 }, (_, i) =>
        i % 2 === 0
          ? { ...contactRecord(`k-${partition}-${i}`, BigInt(i + 1)), partition }
          : { ...eventRecord(`k-${partition}-${i}`, now), partition },
      ),
    );
    const node = readProcessNow(stackLayout(dir), 'elasticsearch');
    if (node === undefined) throw new Error('the node has no record of its process');
    const halves = batches.flatMap((batch) => [
      batch.filter(({ topic }) => topic === 'contact.golden'),
      batch.filter(({ topic }) => topic === 'event.recorded'),
    ]);
    await deliver(sink, halves[0] ?? []);
    // Two at a time, and the node dies after the first: what is under way fails, and what comes then.
    const answered = Promise.withResolvers<void>();
    const lane = async (from: number): Promise<RecordResult[]> => {
      const results: RecordResult[] = [];
      for (const half of halves.slice(from, from + 4)) {
        results.push(...(await sink.write(batchOf(half))));
        answered.resolve();
      }
      return results;
    };
    const writing = Promise.all([lane(0), lane(4)]);
    await answered.promise;
    signalProcess(node, 'SIGKILL');
    const results = (await writing).flat();
    expect(results).toHaveLength(4_000);
    expect(statuses(results)).toEqual(['delivered', 'retry']);

    await start();
    for (const half of halves) await deliver(sink, half);
    await deliver(sink, [contactRecord('gone', 6n), contactRecord('never', 8n)]);
    const reader = new Client({ node: url });
    expect(await readContact(url, 'contacts', 'gone')).toBeNull();
    expect(await readContact(url, 'contacts', 'never')).toBeNull();
    for (const [index, documents] of [
      ['contacts', 2_000],
      ['contacts-v1', 2_002],
      ['events', 2_000],
    ] as const) {
      await reader.indices.refresh({ index });
      expect((await reader.count({ index })).count, index).toBe(documents);
    }
    const stored = (await dump(reader, 'contacts-v1')) as [string, number, unknown][];
    const versions = new Map(stored.map(([id, version]) => [id, version]));
    for (const record of halves.flat().filter(({ topic }) => topic === 'contact.golden')) {
      expect(versions.get(record.key)).toBe(Number(record.version));
    }
    await Promise.all([reader.close(), sink.close()]);
  });
});
