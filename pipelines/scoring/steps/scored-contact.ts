import { keyValueStore, type Serde, textSerde } from '../../../runtime/state/contract.ts';
import { featureNames } from '../model/features.ts';

/** What is known of a contact of one tenant, and the version of its last score. */
export interface ScoredContact {
  /** As `featureNames` orders them. Whole numbers. */
  readonly features: Float64Array;
  /** There is such a contact. Its events may come before it. */
  isKnown: boolean;
  /** The topic holds a score of it. */
  isScored: boolean;
  /** Of its last score, or of that score's tombstone; 0 before. */
  version: bigint;
  /** Of its golden record; -1 before. */
  goldenVersion: bigint;
  /** Time of its newest event or change, ms. */
  at: number;
  /** When the model of its last score was published, ms; 0 before. */
  modelAt: number;
}

export function newContact(): ScoredContact {
  return {
    features: new Float64Array(featureNames.length),
    isKnown: false,
    isScored: false,
    version: 0n,
    goldenVersion: -1n,
    at: 0,
    modelAt: 0,
  };
}

/** A copy to work on: what is in a store must not be changed in place. */
export function copyOf(contact: ScoredContact): ScoredContact {
  return { ...contact, features: Float64Array.from(contact.features) };
}

const FEATURES_AT = 33;
const BYTES = FEATURES_AT + featureNames.length * 8;

function write(contact: ScoredContact, target: Buffer, offset: number): void {
  target.writeUInt8((contact.isKnown ? 1 : 0) | (contact.isScored ? 2 : 0), offset);
  target.writeBigInt64BE(contact.version, offset + 1);
  target.writeBigInt64BE(contact.goldenVersion, offset + 9);
  target.writeDoubleBE(contact.at, offset + 17);
  target.writeDoubleBE(contact.modelAt, offset + 25);
  let at = offset + FEATURES_AT;
  for (const feature of contact.features) at = target.writeDoubleBE(feature, at);
}

const serde: Serde<ScoredContact> = {
  encode(contact) {
    const bytes = Buffer.allocUnsafe(BYTES);
    write(contact, bytes, 0);
    return bytes;
  },
  decode(bytes) {
    const flags = bytes.readUInt8(0);
    return {
      features: Float64Array.from(featureNames, (_, index) =>
        bytes.readDoubleBE(FEATURES_AT + index * 8),
      ),
      isKnown: (flags & 1) !== 0,
      isScored: (flags & 2) !== 0,
      version: bytes.readBigInt64BE(1),
      goldenVersion: bytes.readBigInt64BE(9),
      at: bytes.readDoubleBE(17),
      modelAt: bytes.readDoubleBE(25),
    };
  },
  fixed: { bytes: BYTES, write },
};

/** By `contactKey`. */
export const contactStore = keyValueStore<ScoredContact>('scored', serde);

/** The tenant that each contact is of, by its id: a deletion does not say it. Kept when it is deleted, for its version. */
export const tenantStore = keyValueStore<string>('tenants', textSerde);

/**
 * Of one tenant's contact: events of another tenant that names the same id are not its own.
 */
export function contactKey(contact: string, tenant: string): string {
  return `${contact}\n${tenant}`;
}

/** The contact and the tenant of a key: no tenant's name has a line break. */
export function partsOfKey(key: string): { readonly contact: string; readonly tenant: string } {
  const at = key.lastIndexOf('\n');
  return { contact: key.slice(0, at), tenant: key.slice(at + 1) };
}
