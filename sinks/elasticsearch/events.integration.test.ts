import { Client } from '@elastic/elasticsearch';
import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Sink, SinkRecord } from '../../runtime/delivery/sink.ts';
import { testStack } from '../../tests/integration/stack.ts';
import { type Field, type TableModel, tableModel } from '../fields.ts';
import { batchOf, contactRecord } from '../fixtures.ts';
import { elasticsearchConfigSchema } from './config.ts';
import { dump, eventRecord, removePrefix, uniquePrefix } from './fixtures.ts';
import { DAY_MS, dayOf, namesOf } from './indices.ts';
import { hasLifecycle } from './lifecycle.ts';
import { expireDays, growDays, purgeDeleted } from './maintenance.ts';
import { createElasticsearchSink } from './sink.ts';

const model = tableModel('event.recorded');
const contacts = tableModel('contact.golden');

describe('elasticsearch indices over time', () => {
  const indexPrefix = uniquePrefix();
  const names = namesOf(model, indexPrefix);
  const topic = { model, names };
  const today = Math.floor(Date.now() / DAY_MS) * DAY_MS;
  let reader: Client;
  let sink: Sink;

  const create = (
    models: readonly TableModel[] = [model, contacts],
    fields: Readonly<Record<string, unknown>> = {},
  ) =>
    createElasticsearchSink(
      elasticsearchConfigSchema.parse({
        url: testStack().elasticsearch.url,
        indexPrefix,
        ...fields,
      }),
      { logger: pino({ level: 'silent' }) },
      models,
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

  async function deliver(to: Sink, records: readonly SinkRecord[]): Promise<void> {
    const results = await to.write(batchOf(records));
    expect(results.filter(({ status }) => status !== 'delivered')).toEqual([]);
  }

  async function found(query: Record<string, unknown>): Promise<readonly (string | undefined)[]> {
    await reader.indices.refresh({ index: names.alias });
    const { hits } = await reader.search({ index: names.alias, query, sort: ['event_id'] });
    return hits.hits.map((hit) => hit._id);
  }

  const indexOf = (time: number) => `${names.alias}-${dayOf(time)}`;

  it('keeps a day in an index, and finds all of them by one name and @timestamp', async () => {
    const old = today - 400 * DAY_MS;
    const records = [
      eventRecord('a-1', today),
      eventRecord('a-2', today - 1),
      eventRecord('a-3', old, { payload: 'x'.repeat(100_000) }),
    ];
    await deliver(sink, records);
    expect(await found({ term: { tenant_id: 'acme' } })).toEqual(['a-1', 'a-2', 'a-3']);
    expect(
      await found({
        range: { '@timestamp': { gte: today - DAY_MS, lt: today, format: 'epoch_millis' } },
      }),
    ).toEqual(['a-2']);
    for (const [index, record] of [
      [indexOf(today), records[0]],
      [indexOf(today - 1), records[1]],
      [`${names.alias}-older`, records[2]],
    ] as const) {
      const { _source } = await reader.get({
        index,
        id: record?.key === undefined ? '' : String(record.value?.['event_id']),
      });
      expect(_source).toEqual(record?.value);
    }
  });

  it('has nothing twice when processes write the same records across a midnight, again and again', async () => {
    const from = today - 2 * DAY_MS;
    const records = Array.from({ length: 500 }, (_, i) =>
      eventRecord(`b-${i}`, from - 5_000 + i * 20, { tenant_id: 'midnight' }),
    );
    const others = [sink, create(), create()];
    await Promise.all(others.slice(1).map((other) => other.open()));
    await Promise.all(
      others.map(async (other, shift) => {
        for (let i = 0; i < 5; i += 1) {
          const at = ((i + shift) % 5) * 100;
          await deliver(other, records.slice(at, at + 200));
        }
      }),
    );
    await Promise.all(others.slice(1).map((other) => other.close()));
    await reader.indices.refresh({ index: names.alias });
    const { hits, aggregations } = await reader.search<unknown, { ids: { value: number } }>({
      index: names.alias,
      size: 0,
      track_total_hits: true,
      query: { term: { tenant_id: 'midnight' } },
      aggs: { ids: { cardinality: { field: 'event_id', precision_threshold: 5_000 } } },
    });
    expect(hits.total).toMatchObject({ value: 500 });
    expect(aggregations?.ids.value).toBe(500);
    const [before, after] = await Promise.all(
      [from - 1, from].map((time) =>
        reader.count({ index: indexOf(time), query: { term: { tenant_id: 'midnight' } } }),
      ),
    );
    expect([before?.count, after?.count]).toEqual([250, 250]);
  });

  it('leaves the first document when the same id comes with something else', async () => {
    await deliver(sink, [eventRecord('c-1', today, { event_type: 'first' })]);
    await deliver(sink, [eventRecord('c-1', today, { event_type: 'second' })]);
    expect(await found({ term: { event_type: 'first' } })).toEqual(['c-1']);
    expect(await found({ term: { event_type: 'second' } })).toEqual([]);
  });

  it('makes a day again by the template when it was deleted under a running sink', async () => {
    const day = today - 3 * DAY_MS;
    await deliver(sink, [eventRecord('d-1', day)]);
    await reader.indices.delete({ index: indexOf(day) });
    await deliver(sink, [eventRecord('d-1', day)]);
    const [state] = Object.values(await reader.indices.get({ index: indexOf(day) }));
    expect(state?.mappings?.dynamic).toBe('strict');
    expect(Object.keys(state?.aliases ?? {})).toEqual([names.alias]);
  });

  it('follows a schema that grows while older processes write, on all days', async () => {
    const region: Field = {
      ...{ name: 'region', type: { kind: 'string' }, nullable: true, doc: '', hasDefault: true },
    };
    const newer = create([{ ...model, fields: [...model.fields, region] }]);
    await deliver(sink, [eventRecord('e-1', today - 4 * DAY_MS)]);
    await newer.open();
    const grown = eventRecord('e-2', today - 4 * DAY_MS);
    await deliver(newer, [{ ...grown, value: { ...grown.value, region: 'north' } }]);
    await deliver(sink, [eventRecord('e-3', today - 4 * DAY_MS)]);
    expect(await found({ term: { region: 'north' } })).toEqual(['e-2']);
    // An older process that starts later takes nothing back: the next day still has the field.
    const older = create();
    await older.open();
    const next = eventRecord('e-4', today + DAY_MS);
    await deliver(newer, [{ ...next, value: { ...next.value, region: 'south' } }]);
    await Promise.all([older.close(), newer.close()]);
    expect(await found({ exists: { field: 'region' } })).toEqual(['e-2', 'e-4']);
  });

  it('waits, rather than reject every record, while an index is behind the schema', async () => {
    const extra: Field = {
      ...{ name: 'extra', type: { kind: 'long' }, nullable: true, doc: '', hasDefault: true },
    };
    const newer = create([{ ...model, fields: [...model.fields, extra] }]);
    const record = {
      ...eventRecord('f-1', today),
      value: { ...eventRecord('f-1', today).value, extra: 1 },
    };
    const [result] = await newer.write(batchOf([record]));
    expect(result).toMatchObject({ status: 'retry', of: 'store' });
    await newer.open();
    await deliver(newer, [record]);
    await newer.close();
  });

  it('gives later days more shards when a day outgrows its own, and still knows every id', async () => {
    const day = today - 5 * DAY_MS;
    const records = Array.from({ length: 20 }, (_, i) => eventRecord(`g-${i}`, day));
    await deliver(sink, records);
    await reader.indices.refresh({ index: indexOf(day) });
    const shards = await growDays(reader, topic, false, { bytes: 1e12, documents: 15 });
    expect(shards).toBeGreaterThan(1);
    const settings = async (time: number) => {
      const [state] = Object.values(await reader.indices.getSettings({ index: indexOf(time) }));
      return Number(state?.settings?.index?.number_of_shards);
    };
    // Also after a process has started, whose configuration knows nothing of it.
    const other = create();
    await other.open();
    await other.close();
    await deliver(sink, [...records, eventRecord('g-next', today - 6 * DAY_MS)]);
    expect(await settings(day)).toBe(1);
    expect(await settings(today - 6 * DAY_MS)).toBe(shards);
    await reader.indices.refresh({ index: indexOf(day) });
    expect((await reader.count({ index: indexOf(day) })).count).toBe(20);
  });

  it('deletes days past their time, and no index that is not its own', async () => {
    const [gone, kept] = [today - 60 * DAY_MS, today - 59 * DAY_MS];
    await deliver(sink, [eventRecord('h-1', gone), eventRecord('h-2', kept)]);
    const foreign = `${names.alias}-2020.01.01`;
    await reader.indices.create({ index: foreign, mappings: { _meta: { owner: 'someone' } } });
    const expired = await expireDays(reader, topic, kept);
    expect(expired).toEqual([indexOf(gone)]);
    expect(await reader.indices.exists({ index: indexOf(gone) })).toBe(false);
    expect(await reader.indices.exists({ index: indexOf(kept) })).toBe(true);
    expect(await reader.indices.exists({ index: foreign })).toBe(true);
  });

  it('sees to all of that by itself while it runs', async () => {
    const golden = namesOf(contacts, indexPrefix);
    const day = today - 92 * DAY_MS;
    const deleted_at = today - 31 * DAY_MS;
    await reader.index({
      ...{ index: golden.first, id: 'long-gone', version: 5, version_type: 'external' },
      ...{ document: { id: 'long-gone', version: 5, deleted: true, deleted_at }, refresh: true },
    });
    await deliver(sink, [eventRecord('i-1', day)]);
    await deliver(sink, [contactRecord('just-gone', 5n, null)]);
    const keeper = create([model, contacts], { maintenanceIntervalMs: 1_000 });
    await keeper.open();
    const there = async () => [
      await reader.indices.exists({ index: indexOf(day) }),
      await reader.exists({ index: golden.first, id: 'long-gone' }),
    ];
    await expect.poll(there, { timeout: 100_000, interval: 200 }).toEqual([false, false]);
    await keeper.close();
    expect(await reader.exists({ index: golden.first, id: 'just-gone' })).toBe(true);
    await reader.delete({ index: golden.first, id: 'just-gone' });
  });

  it('sees that the embedded server has no lifecycle management', async () => {
    expect(await hasLifecycle(reader)).toBe(false);
  });

  it('purges what was deleted long ago, and nothing else', async () => {
    const golden = { model: contacts, names: namesOf(contacts, indexPrefix) };
    const ids = Array.from({ length: 1_200 }, (_, i) => `p-${i}`);
    await deliver(sink, [
      ...ids.map((id) => contactRecord(id, 2n ** 60n, null)),
      contactRecord('p-alive', 5n),
      contactRecord('p-again', 5n, null),
      contactRecord('p-again', 6n),
    ]);
    const index = golden.names.first;
    await reader.indices.refresh({ index });
    expect(await purgeDeleted(reader, golden, Date.now() - DAY_MS)).toBe(0);
    // Written after the search's last refresh: the purge's delete is for what it saw.
    await reader.indices.putSettings({ index, settings: { refresh_interval: '-1' } });
    await deliver(sink, [contactRecord('p-0', 2n ** 60n + 1n)]);
    const purged = await purgeDeleted(reader, golden, Date.now() + DAY_MS);
    await reader.indices.putSettings({ index, settings: { refresh_interval: '1s' } });
    expect(purged).toBe(1_199);
    const left = await dump(reader, index);
    expect(left.map((document) => (document as readonly unknown[])[0])).toEqual([
      ...['p-0', 'p-again', 'p-alive'],
    ]);
  });
});
