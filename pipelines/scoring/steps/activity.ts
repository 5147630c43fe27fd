import { invalid } from '../../../runtime/operators/validation.ts';
import type { Serde } from '../../../runtime/state/contract.ts';
import { drop, type Outcome, ok } from '../../../runtime/topology/outcome.ts';
import type { EventRecorded } from '../../../schemas/types.ts';
import { type FeatureName, featureIndex, featureNames } from '../model/features.ts';

/** What an event counts for. `amountAt` is the payload's field with how much; without one it is 1. */
interface Counted {
  readonly feature: FeatureName;
  readonly amountAt?: string;
}

/** The event types that change features, as docs/guides/scoring.md lists them. Others are of no interest. */
const counted: ReadonlyMap<string, Counted> = new Map([
  ['user.login', { feature: 'login_count' }],
  ['api.called', { feature: 'api_calls' }],
  ['data.uploaded', { feature: 'data_uploaded', amountAt: 'bytes' }],
  ['email.sent', { feature: 'emails_sent' }],
  ['email.opened', { feature: 'opens' }],
  ['email.clicked', { feature: 'clicks' }],
  ['email.responded', { feature: 'responses' }],
]);

/** What a contact did, by what its tenant's events say. */
export interface Activity {
  readonly tenant: string;
  readonly contact: string;
  /** What is added to each feature, as `featureNames` orders them. */
  readonly amounts: readonly number[];
}

/** An event as what it adds to its contact's features: `entity_id` is the contact's id. */
export function readActivity(event: EventRecorded): Outcome<Activity> {
  const what = counted.get(event.event_type);
  if (what === undefined) return drop('no feature');
  const { tenant_id: tenant, entity_id: contact } = event;
  const amount = what.amountAt === undefined ? 1 : amountOf(event.payload, what.amountAt);
  if (amount === undefined) {
    const reason = `its payload has no whole number ${what.amountAt} of 0 or more`;
    return invalid(`event ${event.event_id}, ${event.event_type},`, [reason], tenant);
  }
  const amounts = new Array<number>(featureNames.length).fill(0);
  amounts[featureIndex[what.feature]] = amount;
  return ok({ tenant, contact, amounts });
}

function amountOf(payload: string, field: string): number | undefined {
  const value: unknown = JSON.parse(payload);
  if (typeof value !== 'object' || value === null) return undefined;
  const amount: unknown = Object.getOwnPropertyDescriptor(value, field)?.value;
  return typeof amount === 'number' && Number.isSafeInteger(amount) && amount >= 0
    ? amount
    : undefined;
}

const AMOUNTS_BYTES = featureNames.length * 8;

/** Amounts, tenant; the contact is the record's key. */
export const activitySerde: Serde<Activity> = {
  encode({ tenant, contact, amounts }) {
    const tenantBytes = Buffer.byteLength(tenant);
    const bytes = Buffer.allocUnsafe(AMOUNTS_BYTES + 4 + tenantBytes + Buffer.byteLength(contact));
    for (const [index, amount] of amounts.entries()) bytes.writeDoubleBE(amount, index * 8);
    bytes.writeUInt32BE(tenantBytes, AMOUNTS_BYTES);
    bytes.write(tenant, AMOUNTS_BYTES + 4, 'utf8');
    bytes.write(contact, AMOUNTS_BYTES + 4 + tenantBytes, 'utf8');
    return bytes;
  },
  decode(bytes) {
    const tenantEnd = AMOUNTS_BYTES + 4 + bytes.readUInt32BE(AMOUNTS_BYTES);
    return {
      tenant: bytes.toString('utf8', AMOUNTS_BYTES + 4, tenantEnd),
      contact: bytes.toString('utf8', tenantEnd),
      amounts: featureNames.map((_, index) => bytes.readDoubleBE(index * 8)),
    };
  },
};
