import { randomUUID } from 'node:crypto';
import type { Client } from '@elastic/elasticsearch';
import type { SinkRecord } from '../../runtime/delivery/sink.ts';
import type { Contact, EventRecorded } from '../../schemas/types.ts';

/** What the indices of one test begin with. */
export function uniquePrefix(): string {
  return `sink-test-${randomUUID().slice(0, 8)}-`;
}

/** Removes indices and templates of a prefix. */
export async function removePrefix(client: Client, prefix: string): Promise<void> {
  const indices = Object.keys(
    await client.indices.get({ index: `${prefix}*`, features: 'aliases' }),
  );
  if (indices.length > 0) await client.indices.delete({ index: indices, ignore_unavailable: true });
  await client.indices.deleteIndexTemplate({ name: `${prefix}*` });
}

/** A contact; null when it is deleted. Read as text, since JSON.parse would round its version. */
export async function readContact(url: string, index: string, id: string): Promise<Contact | null> {
  const response = await fetch(new URL(`/${index}/_source/${encodeURIComponent(id)}`, url));
  if (response.status === 404) return null;
  if (!response.ok) throw new Error(`${response.status}: ${await response.text()}`);
  const text = await response.text();
  const exact = text.replace(/"version":(\d+)\}$/, '"version":"$1"}');
  const source = JSON.parse(exact) as Contact & { version: string; deleted?: boolean };
  return source.deleted === true ? null : { ...source, version: BigInt(source.version) };
}

/** Every document with the version that the index keeps, by id. */
export async function dump(reader: Client, index: string): Promise<readonly unknown[]> {
  await reader.indices.refresh({ index });
  const documents: unknown[] = [];
  const scroll = reader.helpers.scrollSearch({
    ...{ index, size: 5_000, version: true },
    sort: ['_doc'],
  });
  for await (const page of scroll) {
    for (const { _id, _version, _source } of page.body.hits.hits) {
      documents.push([_id, _version, _source]);
    }
  }
  return documents.sort((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1));
}

let nextOffset = 0n;

/** An `event.recorded` record of the next offset. */
export function eventRecord(id: string, occurredAt: number, fields: Partial<EventRecorded> = {}) {
  const value: EventRecorded = {
    ...{ event_id: id, tenant_id: 'acme', source: 'webhook:hook', event_type: 'push' },
    ...{ entity_id: '7', occurred_at: occurredAt, received_at: occurredAt, payload: '{"a":1}' },
    ...fields,
  };
  const record: SinkRecord = {
    ...{ topic: 'event.recorded', partition: 0, offset: nextOffset++, timestamp: occurredAt },
    ...{ key: 'acme 7', value: { ...value }, version: 0n },
  };
  return record;
}
