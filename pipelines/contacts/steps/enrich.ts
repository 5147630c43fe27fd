import { VERSION_HEADER } from '../../../runtime/delivery/decode.ts';
import type { ProcessContext, Processor } from '../../../runtime/operators/process-api.ts';
import { jsonSerde, keyValueStore } from '../../../runtime/state/contract.ts';
import { drop } from '../../../runtime/topology/outcome.ts';
import type { Contact } from '../../../schemas/types.ts';
import { type Company, companies } from './companies.ts';
import type { BaseContact } from './validate.ts';

/** What was last emitted for a contact. Versions are decimal text: JSON has no bigint. */
interface KnownContact {
  /** Null once deleted: the version is remembered, so that a contact created again outranks its deletion. */
  readonly contact: BaseContact | null;
  /** LSN of the contact's row. */
  readonly lsn: string;
  /** Whether a snapshot read the row, at that LSN; absent for a change. */
  readonly snapshot?: true;
  readonly version: string;
  readonly company: Omit<Company, 'lsn'> | null;
}

/** Contacts by id. */
export const known = keyValueStore<KnownContact>('contacts', jsonSerde());

/** A row's change, valid: what the contact is now, or that it is no more. */
export type ContactChange =
  | {
      readonly kind: 'upsert';
      readonly contact: BaseContact;
      readonly lsn: bigint;
      readonly isSnapshot: boolean;
    }
  | { readonly kind: 'remove'; readonly id: string; readonly lsn: bigint };

type Upsert = Omit<Extract<ContactChange, { kind: 'upsert' }>, 'kind'>;

/**
 * A change that comes again out of the DLQ must not undo those that came after it. What a snapshot read says nothing
 * of that: a transaction that was open then commits changes with older LSNs after it.
 */
function isSuperseded(change: ContactChange, before: KnownContact): boolean {
  if (BigInt(before.lsn) <= change.lsn) return false;
  const isChange = change.kind === 'remove' || !change.isSnapshot;
  return !(before.snapshot === true && isChange);
}

function sameCompany(a: KnownContact['company'], b: KnownContact['company']): boolean {
  return a?.name === b?.name && a?.domain === b?.domain && a?.industry === b?.industry;
}

/**
 * Keeps each contact joined to its company and emits it to `contact.golden` whenever either changes. The
 * version of what it emits grows with every emission: the newer LSN of the two rows, or one more than before
 * where that is not newer (a contact's change may be read after a later change of its company).
 */
export function createEnrichStep(
  context: ProcessContext<Contact | null, Record<never, never>>,
): Processor<ContactChange> {
  const store = context.store(known);
  const table = context.table(companies);
  const byCompany = new Map<string, Set<string>>();

  function index(id: string, from: string | null, to: string | null): void {
    if (from === to) return;
    if (from !== null) {
      const members = byCompany.get(from);
      members?.delete(id);
      if (members?.size === 0) byCompany.delete(from);
    }
    if (to === null) return;
    const members = byCompany.get(to);
    if (members === undefined) byCompany.set(to, new Set([id]));
    else members.add(id);
  }

  function emit({ contact, lsn, isSnapshot }: Upsert, before: KnownContact | undefined): void {
    const row = contact.company_id === null ? undefined : table.get(contact.company_id);
    const company =
      row === undefined ? null : { name: row.name, domain: row.domain, industry: row.industry };
    const version = nextVersion(lsn, row?.lsn, before);
    index(contact.id, before?.contact?.company_id ?? null, contact.company_id);
    store.set(contact.id, {
      contact,
      lsn: String(lsn),
      ...(isSnapshot ? { snapshot: true } : {}),
      version: String(version),
      company,
    });
    context.forward(contact.id, {
      ...contact,
      company: company?.name ?? null,
      company_domain: company?.domain ?? null,
      industry: company?.industry ?? null,
      version,
    });
  }

  /** Emits the contact again where its company is not the one it was emitted with. */
  function refresh(id: string): void {
    const before = store.get(id);
    if (before === undefined || before.contact === null) return;
    const companyId = before.contact.company_id;
    const row = companyId === null ? undefined : table.get(companyId);
    if (sameCompany(before.company, row ?? null)) return;
    const { contact, lsn, snapshot = false } = before;
    emit({ contact, lsn: BigInt(lsn), isSnapshot: snapshot }, before);
  }

  /** False when the contact was never emitted. */
  function remove(id: string, lsn: bigint): boolean {
    const before = store.get(id);
    if (before === undefined || before.contact === null) return false;
    const version = String(nextVersion(lsn, undefined, before));
    index(id, before.contact.company_id, null);
    store.set(id, { contact: null, lsn: String(lsn), version, company: null });
    context.forward(id, null, { headers: { [VERSION_HEADER]: version } });
    return true;
  }

  return {
    process(change) {
      const before = store.get(change.kind === 'upsert' ? change.contact.id : change.id);
      if (before !== undefined && isSuperseded(change, before)) return drop('superseded');
      if (change.kind === 'upsert') emit(change, before);
      else if (!remove(change.id, change.lsn)) return drop('deleted before it was valid');
      return undefined;
    },
    onTableChange(_topic, companyId) {
      for (const id of [...(byCompany.get(companyId) ?? [])]) refresh(id);
    },
    /** Indexes the restored contacts, and catches up with companies that changed while nobody looked. */
    onStart() {
      for (const [id, { contact }] of store.range()) index(id, null, contact?.company_id ?? null);
      for (const id of [...byCompany.values()].flatMap((ids) => [...ids])) refresh(id);
    },
  };
}

function nextVersion(
  lsn: bigint,
  companyLsn: bigint | undefined,
  before: KnownContact | undefined,
): bigint {
  const newest = companyLsn !== undefined && companyLsn > lsn ? companyLsn : lsn;
  const atLeast = before === undefined ? 0n : BigInt(before.version) + 1n;
  return newest > atLeast ? newest : atLeast;
}
