import type { Random } from './random.ts';
import {
  BROKEN_EMAILS,
  BROKEN_PHONES,
  COMPANY_FIRST,
  COMPANY_SECOND,
  EVENT_KINDS,
  FIRST_NAMES,
  INDUSTRIES,
  LAST_NAMES,
  TAGS,
  TENANTS,
} from './words.ts';

export type SourceTable = 'companies' | 'contacts' | 'events';

/** One statement of the application whose tables are captured. */
export interface RowChange {
  readonly table: SourceTable;
  readonly op: 'insert' | 'update' | 'delete';
  readonly text: string;
  readonly values: readonly unknown[];
  /** Does it leave a row that validation has to reject? */
  readonly broken: boolean;
}

/** Rows of the future: whatever the clocks, no validation may take them for now. */
const FUTURE_MS = 10 * 365 * 86_400_000;

/** Letters, digits and dots only: what is left of a name in an address. */
function slug(text: string): string {
  return text
    .normalize('NFD')
    .replace(/[^A-Za-z0-9 ]/g, '')
    .trim()
    .replace(/ +/g, '.')
    .toLowerCase();
}

function company(random: Random): { name: string; domain: string; industry: string } {
  const name = `${random.pick(COMPANY_FIRST)} ${random.pick(COMPANY_SECOND)}`;
  return { name, domain: `${slug(name)}.example`, industry: random.pick(INDUSTRIES) };
}

function phone(random: Random): string | null {
  return random.chance(0.3) ? null : `+49${String(1_000_000_000 + random.int(8_999_999_999))}`;
}

function tags(random: Random): string[] {
  return TAGS.filter(() => random.chance(0.2));
}

export function insertCompany(random: Random, id: number): RowChange {
  const { name, domain, industry } = company(random);
  return {
    table: 'companies',
    op: 'insert',
    text: 'INSERT INTO companies (id, tenant_id, name, domain, industry) VALUES ($1, $2, $3, $4, $5)',
    values: [id, random.pick(TENANTS), name, random.chance(0.1) ? null : domain, industry],
    broken: false,
  };
}

export function updateCompany(random: Random, id: number): RowChange {
  const { name, domain, industry } = company(random);
  return {
    table: 'companies',
    op: 'update',
    text: 'UPDATE companies SET name = $2, domain = $3, industry = $4, updated_at = now() WHERE id = $1',
    values: [id, name, domain, industry],
    broken: false,
  };
}

/** The company's contacts lose it before it goes: several rows in one transaction. */
export function deleteCompany(id: number): RowChange[] {
  return [
    {
      table: 'contacts',
      op: 'update',
      text: 'UPDATE contacts SET company_id = NULL, updated_at = now() WHERE company_id = $1',
      values: [id],
      broken: false,
    },
    deleteRow('companies', id),
  ];
}

const INSERT_CONTACT =
  'INSERT INTO contacts (id, tenant_id, full_name, email, phone, company_id, tags) VALUES ($1, $2, $3, $4, $5, $6, $7)';

/** @param companyId null for a contact of no company. */
export function insertContact(random: Random, id: number, companyId: number | null): RowChange {
  const name = `${random.pick(FIRST_NAMES)} ${random.pick(LAST_NAMES)}`;
  const email = `${slug(name)}.${id}@example.com`;
  return {
    table: 'contacts',
    op: 'insert',
    text: INSERT_CONTACT,
    values: [id, random.pick(TENANTS), name, email, phone(random), companyId, tags(random)],
    broken: false,
  };
}

/** One to three things are wrong with it: a dead letter must name them all. */
export function insertBrokenContact(random: Random, id: number): RowChange {
  const name = random.chance(0.5)
    ? `${random.pick(FIRST_NAMES)} ${random.pick(LAST_NAMES)}`
    : random.pick(['', '   ', null]);
  const brokenPhone = random.chance(0.5) ? random.pick(BROKEN_PHONES) : null;
  return {
    table: 'contacts',
    op: 'insert',
    text: INSERT_CONTACT,
    values: [id, random.pick(TENANTS), name, random.pick(BROKEN_EMAILS), brokenPhone, null, []],
    broken: true,
  };
}

/** Changes one thing of a contact. @param companyId where it moves to, if it moves. */
export function updateContact(random: Random, id: number, companyId: number | null): RowChange {
  const update = (column: string, value: unknown): RowChange => ({
    table: 'contacts',
    op: 'update',
    text: `UPDATE contacts SET ${column} = $2, updated_at = now() WHERE id = $1`,
    values: [id, value],
    broken: false,
  });
  const what = random.weighted({ email: 3, phone: 2, tags: 3, full_name: 1, company_id: 2 });
  switch (what) {
    case 'email':
      // Also what repairs a contact that was broken before.
      return update('email', `${random.pick(TAGS)}.${id}.${random.int(10_000)}@example.org`);
    case 'phone':
      return update('phone', phone(random));
    case 'tags':
      return update('tags', tags(random));
    case 'full_name':
      return update('full_name', `${random.pick(FIRST_NAMES)} ${random.pick(LAST_NAMES)}`);
    case 'company_id':
      return update('company_id', companyId);
  }
}

/** A good contact gets an address that is none: the pipeline keeps its last valid state. */
export function breakContact(random: Random, id: number): RowChange {
  return {
    table: 'contacts',
    op: 'update',
    text: 'UPDATE contacts SET email = $2, updated_at = now() WHERE id = $1',
    values: [id, random.pick(BROKEN_EMAILS)],
    broken: true,
  };
}

const INSERT_EVENT =
  'INSERT INTO events (id, tenant_id, contact_id, kind, occurred_at, props) VALUES ($1, $2, $3, $4, $5, $6)';

export function insertEvent(
  random: Random,
  id: number,
  contactId: number | null,
  nowMs: number,
): RowChange {
  const props = JSON.stringify({
    ms: random.int(2_000),
    agent: random.pick(['web', 'ios', 'api']),
  });
  const kind = random.pick(EVENT_KINDS);
  return {
    table: 'events',
    op: 'insert',
    text: INSERT_EVENT,
    values: [id, random.pick(TENANTS), contactId, kind, new Date(nowMs), props],
    broken: false,
  };
}

/** No kind, or a time far in the future. */
export function insertBrokenEvent(random: Random, id: number, nowMs: number): RowChange {
  const isFuture = random.chance(0.5);
  const kind = isFuture ? random.pick(EVENT_KINDS) : '';
  const at = new Date(isFuture ? nowMs + FUTURE_MS : nowMs);
  return {
    table: 'events',
    op: 'insert',
    text: INSERT_EVENT,
    values: [id, random.pick(TENANTS), null, kind, at, '{}'],
    broken: true,
  };
}

/** The pipeline records events when they are inserted: a later change of the row changes nothing there. */
export function updateEvent(random: Random, id: number): RowChange {
  return {
    table: 'events',
    op: 'update',
    text: 'UPDATE events SET props = $2 WHERE id = $1',
    values: [id, JSON.stringify({ corrected: true, ms: random.int(2_000) })],
    broken: false,
  };
}

export function deleteRow(table: SourceTable, id: number): RowChange {
  return {
    table,
    op: 'delete',
    text: `DELETE FROM ${table} WHERE id = $1`,
    values: [id],
    broken: false,
  };
}
