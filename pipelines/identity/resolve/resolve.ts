import { VERSION_HEADER } from '../../../runtime/delivery/decode.ts';
import type { ProcessContext, Processor } from '../../../runtime/operators/process-api.ts';
import type { NotOk } from '../../../runtime/topology/outcome.ts';
import { drop } from '../../../runtime/topology/outcome.ts';
import type {
  ContactChanged,
  ContactHeldBack,
  ContactObserved,
  ContactUnified,
} from '../../../schemas/types.ts';
import { Blocker, blockName } from '../matching/blocking.ts';
import { BANDS } from '../matching/minhash.ts';
import { type Change, type Component, changesOf } from './changes.ts';
import { changedFields, contactId, goldenOf, originOf } from './golden.ts';
import {
  HASHES,
  IDENTITY,
  identityHash,
  KnownRecord,
  matchRecordOf,
  recordStore,
} from './known-record.ts';
import { link, MAX_MEMBERS } from './link.ts';
import { MAX_BLOCK, Records } from './records.ts';

/** What the step tells of beside golden records; a type, since outputs are. */
export type ResolveOutputs = {
  readonly created: ContactChanged;
  readonly updated: ContactChanged;
  readonly merged: ContactChanged;
  readonly deleted: ContactChanged;
  readonly 'held-back': ContactHeldBack;
};

type Context = ProcessContext<ContactUnified | null, ResolveOutputs>;

/** What an event says beside what all say. */
type Told = Pick<ContactChanged, 'members'> &
  Partial<Pick<ContactChanged, 'into' | 'split_from' | 'changed_fields'>>;

/**
 * Keeps what each source says, finds what is the same contact, and emits golden records and what became of them. One record at a
 * time, in the order of the topic: where batches are cut changes nothing.
 */
export function createResolveStep(context: Context): Processor<ContactObserved> {
  return new Resolver(context);
}

class Resolver implements Processor<ContactObserved> {
  readonly #context: Context;
  readonly #records: Records;
  readonly #blocker = new Blocker();

  constructor(context: Context) {
    this.#context = context;
    this.#records = new Records(context.store(recordStore));
  }

  onStart(): void {
    this.#records.restore();
  }

  process(observed: ContactObserved, { timestamp }: { timestamp: number }): NotOk | undefined {
    const known = this.#records.find(observed);
    if (known !== undefined && isSuperseded(observed, known.observed)) return drop('superseded');
    const before = this.#before(known);
    const record = this.#observe(observed, known, timestamp);
    if (record.text === known?.text) return drop('unchanged');
    for (const number of record.edges) {
      if (before.some((component) => component.some((member) => member.number === number)))
        continue;
      before.push(this.#records.component(this.#records.get(number)));
    }
    this.#records.put(record, known);
    this.#connect(record, known);
    const after = this.#after(record, before);
    for (const change of changesOf(before, after)) this.#tell(change, observed, timestamp);
    return undefined;
  }

  /** The contact that a known record is of, as it was. */
  #before(known: KnownRecord | undefined): Component[] {
    if (known === undefined || known.observed.is_deleted) return [];
    return [this.#records.component(known)];
  }

  /** What the record is now, with the hashes and edges that it may have. */
  #observe(
    observed: ContactObserved,
    known: KnownRecord | undefined,
    timestamp: number,
  ): KnownRecord {
    const number = known?.number ?? this.#records.nextNumber();
    const emitted = known?.emitted ?? 0;
    if (known !== undefined && !observed.is_deleted && looksTheSame(observed, known)) {
      return new KnownRecord(number, known.hashes, known.edges, emitted, observed);
    }
    const hashes = new Uint32Array(HASHES);
    hashes[IDENTITY] = known?.hashes[IDENTITY] ?? identityHash(observed);
    if (observed.is_deleted) return new KnownRecord(number, hashes, [], emitted, observed);
    const match = matchRecordOf(observed);
    this.#blocker.block(observed.tenant_id, match);
    hashes.set(this.#blocker.blocks);
    const full: number[] = [];
    const candidates = this.#records.candidates(number, hashes, known, full);
    const record = new KnownRecord(number, hashes, [], emitted, observed);
    const { edges, heldBack } = link(record, candidates, this.#records);
    this.#reportBlocks(observed, full, timestamp);
    for (const other of heldBack) {
      const contact = this.#records.component(other)[0] ?? other;
      this.#report(observed, 'cluster', contactId(contact.observed), MAX_MEMBERS, timestamp);
    }
    return record.withEdges(edges);
  }

  /** Tells the others of the edges that the record has got or lost. */
  #connect(record: KnownRecord, known: KnownRecord | undefined): void {
    const old = known?.edges ?? [];
    for (const number of old) {
      if (record.edges.includes(number)) continue;
      const other = this.#records.get(number);
      this.#records.put(
        other.withEdges(other.edges.filter((edge) => edge !== record.number)),
        other,
      );
    }
    for (const number of record.edges) {
      if (old.includes(number)) continue;
      const other = this.#records.get(number);
      const edges = [...other.edges, record.number].sort((a, b) => a - b);
      this.#records.put(other.withEdges(edges), other);
    }
  }

  /** The contacts that those before it, and the record, have become; ascending by anchor. */
  #after(record: KnownRecord, before: readonly Component[]): Component[] {
    const seen = new Set<number>();
    const after: Component[] = [];
    const numbers = before.flatMap((component) => component.map(({ number }) => number));
    for (const number of [...numbers, record.number]) {
      if (seen.has(number)) continue;
      const start = this.#records.get(number);
      if (start.observed.is_deleted) continue;
      const component = this.#records.component(start);
      for (const member of component) seen.add(member.number);
      after.push(component);
    }
    return after.sort((a, b) => (a[0]?.number ?? 0) - (b[0]?.number ?? 0));
  }

  #tell(change: Change, cause: ContactObserved, timestamp: number): void {
    if (change.kind === 'created') {
      const golden = this.#emit(change.now);
      const { id, members, version } = golden;
      const told = { members, split_from: change.splitFrom };
      this.#event('created', id, version, told, cause, timestamp);
    } else if (change.kind === 'updated') {
      this.#update(change.before, change.now, cause, timestamp);
    } else {
      const [anchor] = change.before;
      if (anchor === undefined) return;
      const id = contactId(anchor.observed);
      const version = this.#nextVersion(anchor.number);
      const headers = { [VERSION_HEADER]: String(version) };
      this.#context.forward(id, null, { headers });
      const into = change.kind === 'merged' ? goldenOf(change.into) : undefined;
      const told = { members: into?.members ?? [], into: into?.id ?? null };
      this.#event(change.kind, id, version, told, cause, timestamp);
    }
  }

  #update(before: Component, now: Component, cause: ContactObserved, timestamp: number): void {
    const [old, golden] = [goldenOf(before), goldenOf(now)];
    const changed_fields = changedFields(old, golden);
    const isMoved = () => JSON.stringify(old.provenance) !== JSON.stringify(golden.provenance);
    if (changed_fields.length === 0 && !isMoved()) return;
    const { id, members, version } = this.#emit(now, golden);
    if (changed_fields.length === 0) return;
    this.#event('updated', id, version, { members, changed_fields }, cause, timestamp);
  }

  /** Emits a golden record under the next version of its id. */
  #emit(component: Component, golden = goldenOf(component)): ContactUnified {
    const version = this.#nextVersion(component[0]?.number ?? 0);
    const value = { ...golden, version };
    this.#context.forward(golden.id, value);
    return value;
  }

  /** A contact's versions are kept by the record whose identity it has, also while that is deleted or in another contact. */
  #nextVersion(anchor: number): bigint {
    const record = this.#records.get(anchor);
    this.#records.put(record.withEmitted(record.emitted + 1), record);
    return BigInt(record.emitted + 1);
  }

  #event(
    kind: Change['kind'],
    id: string,
    version: bigint,
    told: Told,
    cause: ContactObserved,
    timestamp: number,
  ): void {
    this.#context.forwardTo(kind, id, {
      event_id: `${id}:${version}:${kind}`,
      tenant_id: cause.tenant_id,
      contact_id: id,
      kind,
      version,
      into: null,
      split_from: null,
      changed_fields: [],
      ...told,
      cause: originOf(cause),
      occurred_at: timestamp,
    });
  }

  /** A full block of an exact key is one report; what is alike as a whole is one, however many of its bands are full. */
  #reportBlocks(observed: ContactObserved, full: readonly number[], timestamp: number): void {
    const names = full.map((block) => (block < BANDS ? 'most fields' : blockName(block)));
    for (const name of new Set(names)) this.#report(observed, 'block', name, MAX_BLOCK, timestamp);
  }

  #report(
    { tenant_id, source, source_id }: ContactObserved,
    reason: 'block' | 'cluster',
    shared: string,
    limit: number,
    timestamp: number,
  ): void {
    this.#context.forwardTo('held-back', tenant_id, {
      tenant_id,
      source,
      source_id,
      reason,
      shared,
      limit,
      occurred_at: timestamp,
    });
  }
}

/**
 * A change that comes again out of the DLQ, or late, must not undo those that came after it. What a snapshot read says nothing of
 * that: a transaction that was open then commits changes of smaller versions after it.
 */
function isSuperseded(observed: ContactObserved, known: ContactObserved): boolean {
  if (known.version <= observed.version) return false;
  return !(known.is_snapshot && !observed.is_snapshot);
}

/** Whether matching sees no difference. */
function looksTheSame(observed: ContactObserved, known: KnownRecord): boolean {
  if (known.observed.is_deleted) return false;
  const now = matchRecordOf(observed);
  const fields = Object.keys(now) as (keyof typeof now)[];
  return fields.every((field) => now[field] === known.match[field]);
}
