import {
  anySignatureMatches,
  hmacSha256,
  MAX_SIGNATURES,
  parseSha256Hex,
  parseUnixSeconds,
  type SignatureScheme,
  signatureMismatch,
  signatureMissing,
  timestampFault,
} from './scheme.ts';

/**
 * Stripe's scheme: `stripe-signature: t=<unix seconds>,v1=<hex>[,v1=<hex> …]`, each `v1` HMAC-SHA256 over `<t>.<raw body>`
 * with the endpoint's secret as it stands, `whsec_` included. `v0` and whatever else Stripe adds is ignored: a
 * signature that we do not know must not be one that we accept.
 *
 * The id of the event is in the payload (`/id`), the same on each retry. Source: Stripe Docs, "Verify webhook
 * signatures manually".
 */
const SIGNATURE_HEADER = 'stripe-signature';

interface SignatureHeader {
  readonly timestamp: string;
  readonly signatures: readonly Buffer[];
}

/** Of `t=…,v1=…`; undefined unless there is one timestamp and at least one signature. */
function parseSignatureHeader(value: string | string[] | undefined): SignatureHeader | undefined {
  if (typeof value !== 'string' || value.length > 1_024) return undefined;
  let timestamp: string | undefined;
  const signatures: Buffer[] = [];
  for (const part of value.split(',')) {
    const field = part.trim();
    if (field.startsWith('t=')) {
      if (timestamp !== undefined) return undefined;
      timestamp = parseUnixSeconds(field.slice(2));
      if (timestamp === undefined) return undefined;
    } else if (field.startsWith('v1=')) {
      const signature = parseSha256Hex(field.slice(3));
      if (signature === undefined || signatures.length === MAX_SIGNATURES) return undefined;
      signatures.push(signature);
    }
  }
  return timestamp === undefined || signatures.length === 0 ? undefined : { timestamp, signatures };
}

export const stripeScheme: SignatureScheme = {
  name: 'stripe',
  signatureHeader: SIGNATURE_HEADER,
  verify({ headers, rawBody, secrets, nowMs, windowMs }) {
    const header = parseSignatureHeader(headers[SIGNATURE_HEADER]);
    if (header === undefined) {
      return signatureMissing(SIGNATURE_HEADER, 't=<unix seconds>,v1=<64 hex digits>');
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
