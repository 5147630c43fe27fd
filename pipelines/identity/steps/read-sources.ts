import { invalid } from '../../../runtime/operators/validation.ts';
import { dlq, drop, type Outcome, ok } from '../../../runtime/topology/outcome.ts';
import { type RowChange, readEnvelope } from '../../../schemas/envelope.ts';
import type {
  CdcPublicContactsEnvelope,
  CdcPublicContactsValue,
  FileRowReceived,
  WebhookReceived,
} from '../../../schemas/types.ts';
import { personOf, type RawContact, timeOf } from './raw-contact.ts';

/**
 * A webhook of type `contact.<event>`; others are of no interest. Its payload is a JSON object with the fields, itself or
 * under `contact` or `data`. The contact's id is `id` there, or what the webhook is about; its version is `version`, a whole
 * number, else when it happened, ms. The tenant is who the webhook was accepted for, whatever the payload says.
 */
export function readContactWebhook(webhook: WebhookReceived): Outcome<RawContact> {
  if (!webhook.event_type.startsWith('contact.')) return drop('no contact');
  return readPayload(
    webhook,
    `webhook:${webhook.source}`,
    webhook.event_type === 'contact.deleted',
  );
}

/** A row of a file whose map says `contact`, or `contact.<event>`. */
export function readContactRow(row: FileRowReceived): Outcome<RawContact> {
  if (row.event_type !== 'contact' && !row.event_type.startsWith('contact.')) {
    return drop('no contact');
  }
  return readPayload(row, row.source, row.event_type === 'contact.deleted');
}

type Carrier = Pick<
  FileRowReceived,
  'tenant_id' | 'entity_id' | 'occurred_at' | 'received_at' | 'payload'
>;

function readPayload(carrier: Carrier, source: string, isDeleted: boolean): Outcome<RawContact> {
  const { tenant_id: tenantId, occurred_at, received_at } = carrier;
  const given = objectOf(carrier.payload);
  if (given === undefined) {
    return invalid(`contact of ${source}`, ['accuracy: payload is no JSON object'], tenantId);
  }
  const id = given['id'];
  const updated = given['updated_at'];
  const updatedAt = updated == null ? (occurred_at ?? received_at) : timeOf(updated);
  const version = given['version'];
  const tags = given['tags'];
  return ok({
    tenantId,
    source,
    sourceId: typeof id === 'string' || typeof id === 'number' ? String(id) : carrier.entity_id,
    version: Number.isSafeInteger(version)
      ? BigInt(version as number)
      : BigInt(Number.isSafeInteger(updatedAt) ? updatedAt : 0),
    isSnapshot: false,
    isDeleted,
    person: personOf(given),
    tags: Array.isArray(tags) ? tags.filter((tag): tag is string => typeof tag === 'string') : [],
    createdAt: given['created_at'] == null ? null : timeOf(given['created_at']),
    updatedAt,
  });
}

function objectOf(payload: string): Readonly<Record<string, unknown>> | undefined {
  let parsed: unknown;
  try {
    parsed = JSON.parse(payload);
  } catch {
    return undefined;
  }
  if (!isObject(parsed)) return undefined;
  for (const name of ['contact', 'data']) {
    const inner = parsed[name];
    if (isObject(inner)) return inner;
  }
  return parsed;
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/**
 * A change of a row of the contacts table. A row that went to another tenant is deleted in the one and there in the other.
 */
export function readContactChange(envelope: CdcPublicContactsEnvelope): Outcome<RawContact[]> {
  const change = readEnvelope(envelope);
  if (change === undefined) return drop('no row change');
  if (change.kind === 'refused') return dlq(change.error);
  const { before, after } = change;
  if (after === null) return before === null ? drop('no row') : ok([rawRow(change, before, true)]);
  const moved =
    before !== null && before.tenant_id !== null && before.tenant_id !== after.tenant_id;
  const now = rawRow(change, after, false);
  return ok(moved ? [rawRow(change, before, true), now] : [now]);
}

function rawRow(
  { version, isSnapshot, tsMs }: RowChange<CdcPublicContactsValue>,
  row: CdcPublicContactsValue,
  isDeleted: boolean,
): RawContact {
  return {
    tenantId: row.tenant_id ?? '',
    source: 'cdc:contacts',
    sourceId: String(row.id),
    version,
    isSnapshot,
    isDeleted,
    person: isDeleted ? {} : personOf({ ...row }),
    tags: (row.tags ?? []).filter((tag) => tag !== null),
    createdAt: row.created_at === null || isDeleted ? null : Date.parse(row.created_at),
    updatedAt: isDeleted || row.updated_at === null ? tsMs : Date.parse(row.updated_at),
  };
}
