import {
  anySignatureMatches,
  hmacSha256,
  type SignatureScheme,
  signatureMismatch,
  signatureMissing,
  timestampFault,
} from './scheme.ts';
import { parseTimestampedHeader, TIMESTAMPED_FORM } from './timestamped-header.ts';

/**
 * Stripe's scheme: `stripe-signature: t=<unix seconds>,v1=<hex>[,v1=<hex> …]`, each `v1` HMAC-SHA256 over `<t>.<raw body>`
 * with the endpoint's secret as it stands, `whsec_` included. `v0` and whatever else Stripe adds is ignored: a
 * signature that we do not know must not be one that we accept.
 *
 * The id of the event is in the payload (`/id`), the same on each retry. Source: Stripe Docs, "Verify webhook
 * signatures manually".
 */
const SIGNATURE_HEADER = 'stripe-signature';

export const stripeScheme: SignatureScheme = {
  name: 'stripe',
  signatureHeader: SIGNATURE_HEADER,
  verify({ headers, rawBody, secrets, nowMs, windowMs }) {
    const header = parseTimestampedHeader(headers[SIGNATURE_HEADER]);
    if (header === undefined) {
      return signatureMissing(SIGNATURE_HEADER, TIMESTAMPED_FORM);
    }
    const { timestamp, signatures } = header;
    if (!anySignatureMatches(signatures, secrets, `${timestamp}.`, rawBody)) {
      return signatureMismatch();
    }
    return (
      timestampFault(timestamp, { nowMs, windowMs }) ?? {
        ok: true,
        deliveryId: undefined,
        eventType: undefined,
      }
    );
  },
};

/** The headers that Stripe puts on a delivery. @param input.timestampMs ms since the epoch. */
export function signStripe(input: {
  readonly secret: string;
  readonly body: string | Uint8Array;
  readonly timestampMs: number;
}): Record<string, string> {
  const timestamp = String(Math.floor(input.timestampMs / 1_000));
  const signature = hmacSha256(input.secret, `${timestamp}.`, input.body).toString('hex');
  return {
    'content-type': 'application/json',
    [SIGNATURE_HEADER]: `t=${timestamp},v1=${signature}`,
  };
}
