import type {
  CdcPublicCompaniesEnvelope,
  CdcPublicContactsEnvelope,
  CdcPublicContactsValue,
  CdcPublicEventsEnvelope,
  WebhookReceived,
} from '../../schemas/types.ts';
import { digestOf } from '../input/deliveries.ts';
import { Ledger } from '../input/ledger.ts';
import { ContactsReplay } from '../verify/contacts-replay.ts';
import { EventsReplay } from '../verify/events-replay.ts';
import type { Facts, FoundDeadLetter, StoredContact, StoredEvent } from '../verify/facts.ts';
import type { SourceRecord } from '../verify/position.ts';

/** A small, hand-made history for tests: what the topics hold, and stores that agree with it. */

export const NOW = Date.UTC(2026, 0, 2, 3, 4, 5, 678);
let offset = 0n;

export function record<V>(value: V | null | undefined): SourceRecord<V> {
  offset += 1n;
  const digest = digestOf(`bytes ${offset}`);
  return { partition: Number(offset % 4n), offset, timestamp: NOW, value, digest };
}

export function webhook(id: string, change: Partial<WebhookReceived> = {}): WebhookReceived {
  return {
    event_id: `shop:${id}`,
    tenant_id: 'acme',
    source: 'shop',
    event_type: 'order.paid',
    delivery_id: id,
    entity_id: 'order-1',
    occurred_at: NOW - 500,
    received_at: NOW,
    payload: `{"id":"${id}"}`,
    ...change,
  };
}

export function eventRow(
  id: number,
  op: string,
  change: Partial<NonNullable<CdcPublicEventsEnvelope['after']>> = {},
): CdcPublicEventsEnvelope {
  const row = {
    id,
    tenant_id: 'globex',
    contact_id: 7,
    kind: 'login',
    occurred_at: new Date(NOW).toISOString(),
    props: '{}',
    ...change,
  };
  return envelope(op, row, 0n);
}

export function contactRow(change: Partial<CdcPublicContactsValue> = {}): CdcPublicContactsValue {
  return {
    id: 1,
    tenant_id: 'acme',
    full_name: 'Ada Hopper',
    email: 'ada@example.com',
    phone: '+4915112345678',
    company_id: 5,
    tags: ['vip'],
    created_at: new Date(NOW).toISOString(),
    updated_at: new Date(NOW).toISOString(),
    ...change,
  };
}

export function envelope<R>(op: string, row: R, lsn: bigint) {
  return {
    before: op === 'd' ? row : null,
    after: op === 'd' ? null : row,
    source: {
      ts_ms: NOW,
      snapshot: null,
      table: 't',
      lsn,
      sequence: null,
      file: null,
      pos: null,
      row: null,
    },
    op,
    ts_ms: NOW,
  };
}

export const contact = (op: string, change: Partial<CdcPublicContactsValue>, lsn: bigint) =>
  record<CdcPublicContactsEnvelope>(envelope(op, contactRow(change), lsn));

export const company = (op: string, id: number, name: string, lsn: bigint) =>
  record<CdcPublicCompaniesEnvelope>(
    envelope(op, { id, tenant_id: 'acme', name, domain: null, industry: 'food' }, lsn),
  );

/** The replay of a history in which everything happens once: repeats, rejects, joins, deletes. */
function history() {
  const events = new EventsReplay();
  const contacts = new ContactsReplay();
  for (const id of ['a', 'b', 'a', 'c']) events.webhook(record(webhook(id)));
  events.webhook(record<WebhookReceived>(undefined));
  events.change(record(eventRow(1, 'c')));
  events.change(record(eventRow(2, 'c', { kind: '' })));
  events.change(record(eventRow(1, 'u', { kind: 'logout' })));
  events.change(record<CdcPublicEventsEnvelope>(null));
  contacts.company(company('c', 5, 'Blue Labs', 10n));
  contacts.contact(contact('c', { id: 1 }, 11n));
  contacts.contact(contact('c', { id: 2, company_id: null, phone: null }, 12n));
  contacts.contact(contact('u', { id: 2, email: 'broken', full_name: ' ' }, 13n));
  contacts.contact(contact('c', { id: 3 }, 14n));
  contacts.contact(contact('d', { id: 3 }, 15n));
  contacts.company(company('u', 5, 'Blue Foods', 16n));
  return { events, contacts };
}

/** Facts in which everything adds up; each call makes new ones, to be broken. */
export function soundFacts() {
  const { events, contacts } = history();
  const storedEvents = new Map<string, StoredEvent>(
    [...events.events].map(([id, event]) => [id, { ...event, copies: 1 }]),
  );
  const stored = () =>
    new Map<string, StoredContact>(
      [...contacts.expected()].map(([id, { state, leastVersion }]) => [
        id,
        { state, version: leastVersion },
      ]),
    );
  const rejections = [...events.rejections, ...contacts.rejections];
  const deadLetters = new Map<string, FoundDeadLetter>(
    rejections.map(([key, { reasons, digest }]) => [
      key,
      {
        topic: key.slice(key.indexOf('|') + 1, key.indexOf('/')),
        code: reasons.includes('undecodable') ? 'UNDECODABLE' : 'VALIDATION',
        message: `is not valid: ${reasons.join('; ')}`,
        digest,
        missingHeaders: [],
        copies: 1,
      },
    ]),
  );
  return {
    events,
    contacts,
    truncated: new Set<string>(),
    source: {
      companies: new Map(contacts.lastCompanies),
      contacts: new Map(contacts.lastContacts),
      events: new Map(events.lastRows),
    },
    storedEvents,
    storedCounts: new Map(events.counts),
    storedContacts: { postgres: stored(), clickhouse: stored(), elasticsearch: stored() },
    deadLetters,
    ledger: soundLedger(),
  } satisfies Facts;
}

function soundLedger(): Ledger {
  const ledger = new Ledger();
  const delivery = (deliveryId: string) => ({
    source: 'shop',
    deliveryId,
    body: Buffer.from(`{"id":"${deliveryId}"}`),
    kind: 'valid' as const,
    expected: 202,
    sends: 1 as const,
    headers: () => ({}),
  });
  ledger.answered(delivery('a'), 202, false);
  ledger.answered(delivery('a'), 202, true);
  ledger.answered(delivery('b'), 202, false);
  ledger.answered({ ...delivery('x'), kind: 'bad signature', expected: 401 }, 401, false);
  return ledger;
}
