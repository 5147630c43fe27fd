import validator from 'validator';
import type {
  CdcPublicCompaniesEnvelope,
  CdcPublicCompaniesValue,
  CdcPublicContactsEnvelope,
  CdcPublicContactsValue,
} from '../../schemas/types.ts';
import type { Tally } from './events-replay.ts';
import { type Rejections, reject, type SourceRecord } from './position.ts';

/** A contact as every store has to have it; times in ms, tags in order. */
export interface ContactState {
  readonly tenant_id: string;
  readonly full_name: string;
  readonly email: string;
  readonly phone: string | null;
  readonly company_id: string | null;
  readonly company: string | null;
  readonly company_domain: string | null;
  readonly industry: string | null;
  readonly tags: readonly string[];
  readonly created_at: number;
  readonly updated_at: number;
}

/** What a replay says of a contact. */
export interface ExpectedContact {
  readonly state: ContactState;
  /**
   * LSN of its row: the stores' version is at least this. A change of its company raises it further, unless it
   * changes nothing that the contact shows, or was taken back before anyone looked.
   */
  readonly leastVersion: bigint;
}

const E164 = /^\+[1-9]\d{6,14}$/;
const DEDUP_TTL_MS = 24 * 3_600_000;

interface ValidRow {
  readonly row: CdcPublicContactsValue;
  readonly lsn: bigint;
}

/** Why the `contacts` pipeline has to reject a row; empty for a valid one. */
export function contactFaults(row: CdcPublicContactsValue): string[] {
  return [
    ...((row.tenant_id ?? '') === '' ? ['tenant_id is empty'] : []),
    ...((row.full_name ?? '').trim() === '' ? ['full_name is empty'] : []),
    ...(validator.isEmail((row.email ?? '').trim()) ? [] : ['email is no address']),
    ...((row.phone ?? '') !== '' && !E164.test(row.phone ?? '') ? ['phone is not E.164'] : []),
    ...(Number.isNaN(Date.parse(row.created_at ?? '')) ? ['created_at is no time'] : []),
    ...(Number.isNaN(Date.parse(row.updated_at ?? '')) ? ['updated_at is no time'] : []),
  ];
}

/**
 * What the `contacts` pipeline has to make of the change events of contacts and companies, worked out again
 * without any of its code. Feed it each partition in offset order; companies and contacts in any order.
 */
export class ContactsReplay {
  readonly contacts: Tally = { records: 0, accepted: 0, duplicates: 0, rejected: 0, ignored: 0 };
  readonly rejections: Rejections = new Map();
  /** The last version of each row that is not deleted, valid or not: what the source tables have to hold. */
  readonly lastContacts = new Map<string, CdcPublicContactsValue>();
  readonly lastCompanies = new Map<string, CdcPublicCompaniesValue>();
  readonly #valid = new Map<string, ValidRow>();
  readonly #companies = new Map<string, CdcPublicCompaniesValue>();
  readonly #seen = new Map<string, number>();

  company({ value }: SourceRecord<CdcPublicCompaniesEnvelope>): void {
    if (value === null || value === undefined || !isRowChange(value.op)) return;
    const { after, before } = value;
    if (after !== null) {
      this.lastCompanies.set(String(after.id), after);
      this.#companies.set(String(after.id), after);
    } else if (before !== null) {
      this.lastCompanies.delete(String(before.id));
      this.#companies.delete(String(before.id));
    }
  }

  contact(record: SourceRecord<CdcPublicContactsEnvelope>): void {
    const { value, timestamp } = record;
    const counts = this.contacts;
    counts.records += 1;
    if (value === undefined) {
      counts.rejected += 1;
      reject(this.rejections, 'cdc.public.contacts', 'contacts', record, ['undecodable']);
      return;
    }
    const row = value?.after ?? value?.before;
    if (value === null || row === null || row === undefined || !isRowChange(value.op)) {
      counts.ignored += 1;
      return;
    }
    const id = String(row.id);
    const lsn = value.source.lsn ?? 0n;
    // The connector may deliver a change again after it was restarted.
    const changeId = `${id}:${lsn}:${value.op}`;
    const seen = this.#seen.get(changeId);
    if (seen !== undefined && seen + DEDUP_TTL_MS > timestamp) {
      counts.duplicates += 1;
      return;
    }
    this.#seen.set(changeId, timestamp);
    if (value.after === null) {
      counts.accepted += 1;
      this.lastContacts.delete(id);
      this.#valid.delete(id);
      return;
    }
    this.lastContacts.set(id, row);
    const faults = contactFaults(row);
    if (faults.length > 0) {
      counts.rejected += 1;
      reject(this.rejections, 'cdc.public.contacts', 'contacts', record, faults);
      return;
    }
    counts.accepted += 1;
    this.#valid.set(id, { row, lsn });
  }

  /**
   * The last valid version of each contact that was not deleted since, joined with its company.
   * @param elsewhere companies whose change events are gone from the topic, by id.
   */
  expected(
    elsewhere: ReadonlyMap<string, CdcPublicCompaniesValue> = new Map(),
  ): Map<string, ExpectedContact> {
    const result = new Map<string, ExpectedContact>();
    for (const [id, { row, lsn }] of this.#valid) {
      const companyId = row.company_id === null ? null : String(row.company_id);
      const joined = companyId === null ? undefined : this.#companies.get(companyId);
      const company = joined ?? (companyId === null ? undefined : elsewhere.get(companyId));
      result.set(id, { state: toState(row, company), leastVersion: lsn });
    }
    return result;
  }
}

/** The columns of a contact's row that verification compares, as text. */
export function contactRowText(row: CdcPublicContactsValue): string {
  const { tenant_id, full_name, email, phone, company_id, tags } = row;
  const at = Date.parse(row.updated_at ?? '');
  return JSON.stringify([tenant_id, full_name, email, phone, company_id, tags, at]);
}

/** The columns of a company's row that verification compares, as text. */
export function companyRowText(row: CdcPublicCompaniesValue): string {
  return JSON.stringify([row.tenant_id, row.name, row.domain, row.industry]);
}

function isRowChange(op: string): boolean {
  return op === 'c' || op === 'u' || op === 'd' || op === 'r';
}

function toState(
  row: CdcPublicContactsValue,
  company: CdcPublicCompaniesValue | undefined,
): ContactState {
  return {
    tenant_id: row.tenant_id ?? '',
    full_name: (row.full_name ?? '').trim(),
    email: (row.email ?? '').trim(),
    phone: (row.phone ?? '') === '' ? null : row.phone,
    company_id: row.company_id === null ? null : String(row.company_id),
    company: company?.name ?? null,
    company_domain: company?.domain ?? null,
    industry: company?.industry ?? null,
    tags: (row.tags ?? []).filter((tag) => tag !== null),
    created_at: Date.parse(row.created_at ?? ''),
    updated_at: Date.parse(row.updated_at ?? ''),
  };
}
