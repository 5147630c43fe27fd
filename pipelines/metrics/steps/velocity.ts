import type { ProcessContext, Processor } from '../../../runtime/operators/process-api.ts';
import { jsonSerde, keyValueStore } from '../../../runtime/state/contract.ts';
import type { Aggregator, WindowResult } from '../../../runtime/topology/api.ts';
import { drop } from '../../../runtime/topology/outcome.ts';
import type { Contact, ContactVelocity } from '../../../schemas/types.ts';

/** What became of a golden record. */
export interface ContactChange {
  readonly tenant: string;
  readonly kind: 'created' | 'updated' | 'deleted';
}

/** Of a contact that is there: a tombstone does not say whose it was. The version is decimal text: JSON has no bigint. */
interface SeenContact {
  readonly tenant: string;
  readonly version: string;
}

/** Contacts that are there, by id. */
export const seenStore = keyValueStore<SeenContact>('seen-contacts', jsonSerde());

/**
 * Tells what became of a contact from the versions of its golden record. A version that is not newer than the last one,
 * and a deletion of what is not there, are repeats: dropped.
 */
export function createTellChangeStep(
  context: ProcessContext<ContactChange, Record<never, never>>,
): Processor<Contact | null> {
  const seen = context.store(seenStore);
  return {
    process(contact, { key }) {
      const before = seen.get(key);
      if (contact === null) {
        if (before === undefined) return drop('duplicate');
        seen.delete(key);
        context.forward(key, { tenant: before.tenant, kind: 'deleted' });
        return undefined;
      }
      const { tenant_id: tenant, version } = contact;
      if (before !== undefined && BigInt(before.version) >= version) return drop('duplicate');
      seen.set(key, { tenant, version: String(version) });
      context.forward(key, { tenant, kind: before === undefined ? 'created' : 'updated' });
      return undefined;
    },
  };
}

/** Changes of a window by their kind. */
export interface Velocity {
  readonly created: number;
  readonly updated: number;
  readonly deleted: number;
}

/** Counts changes. */
export const velocities: Aggregator<ContactChange, Velocity> = {
  init: () => ({ created: 0, updated: 0, deleted: 0 }),
  add: (counts, { kind }) => ({ ...counts, [kind]: counts[kind] + 1 }),
  merge: (a, b) => ({
    created: a.created + b.created,
    updated: a.updated + b.updated,
    deleted: a.deleted + b.deleted,
  }),
  serde: jsonSerde(),
};

/** A window's row. Changes only come to it, so their number orders its versions. */
export function toContactVelocity({
  key,
  start,
  end,
  value,
}: WindowResult<Velocity>): ContactVelocity {
  const { created, updated, deleted } = value;
  return {
    tenant_id: key,
    window_start: start,
    window_end: end,
    created,
    updated,
    deleted,
    count: created + updated,
    version: BigInt(created + updated + deleted),
  };
}
