import { afterAll, beforeAll, expect, it } from 'vitest';
import { readTopic } from '../../runtime/kafka/reader.ts';
import type { ContactUnified } from '../../schemas/types.ts';
import { type InProcess, inProcess } from '../../tests/support/in-process.ts';
import { decodedTopic, eventually } from '../../tests/support/kafka.ts';
import { identityPipeline } from './topology.ts';

const TIMEOUT = 120_000;
const PEOPLE = 100;
const NOW = Date.now();

let product: InProcess;

beforeAll(async () => {
  product = await inProcess(identityPipeline, { partitions: 2 });
  await product.engine.prepare();
  await product.engine.start();
}, TIMEOUT);

afterAll(() => product?.close(), TIMEOUT);

const tenantOf = (n: number) => `tenant-${n % 3}`;

function payloadOf(n: number): string {
  return JSON.stringify({
    first_name: ['Ada', 'Grace', 'Konrad', 'Barbara'][n % 4],
    last_name: `Person${n * 7_919}`,
    email: `person${n}@example.com`,
  });
}

async function say(n: number, type: string, occurred_at: number): Promise<void> {
  await product.publisher.publish('webhook.received', {
    key: `${tenantOf(n)}:${n}`,
    value: {
      event_id: `form:${n}:${type}`,
      tenant_id: tenantOf(n),
      source: 'form',
      event_type: type,
      delivery_id: `${n}:${type}`,
      entity_id: String(n),
      occurred_at,
      received_at: NOW,
      payload: payloadOf(n),
    },
  });
}

async function importRow(n: number): Promise<void> {
  await product.publisher.publish('file.row.received', {
    key: `${tenantOf(n)}:${n}`,
    value: {
      import_id: 'crm',
      source: 'file:crm',
      file: 'crm.csv',
      event_type: 'contact',
      received_at: NOW,
      tenant_id: tenantOf(n),
      row: n,
      entity_id: `row-${n}`,
      occurred_at: NOW - 1_000,
      payload: payloadOf(n),
    },
  });
}

/** The golden records that there are, by id. */
async function unified(): Promise<ContactUnified[]> {
  const ids = new Set<string>();
  const gone = new Set<string>();
  await readTopic(product.client, {
    topic: 'contact.unified',
    onRecord: ({ key, value }) => {
      const id = key?.toString('utf8') ?? '';
      ids.add(id);
      if (value === null) gone.add(id);
      else gone.delete(id);
    },
  });
  const all = await decodedTopic(product.client, product.codec, 'contact.unified');
  const last = new Map(all.map((contact) => [contact.id, contact]));
  return [...last.values()].filter(({ id }) => !gone.has(id));
}

it('makes one contact of a webhook and a row, and of the row alone when the webhook’s is deleted', {
  timeout: TIMEOUT,
}, async () => {
  const people = Array.from({ length: PEOPLE }, (_, n) => n);
  await Promise.all(people.flatMap((n) => [say(n, 'contact.created', NOW - 2_000), importRow(n)]));
  await eventually('all contacts', async () => {
    const contacts = await unified();
    return contacts.length === PEOPLE && contacts.every(({ members }) => members.length === 2);
  });
  for (const { tenant_id, members } of await unified()) {
    const n = Number(members.find((member) => member.startsWith('webhook:form/'))?.slice(13));
    expect(members).toEqual([`file:crm/row-${n}`, `webhook:form/${n}`]);
    expect(tenant_id).toBe(tenantOf(n));
  }
  await say(0, 'contact.deleted', NOW);
  await eventually('the contact without it', async () =>
    (await unified()).some(({ members }) => members.join() === 'file:crm/row-0'),
  );
  const events = await decodedTopic(product.client, product.codec, 'contact.created');
  expect(new Set(events.map(({ event_id }) => event_id)).size).toBe(events.length);
  expect(await unified()).toHaveLength(PEOPLE);
  expect(product.fatal).toEqual([]);
});
