import {
  anySignatureMatches,
  deliveryIdMissing,
  headerToken,
  hmacSha256,
  type SignatureScheme,
  signatureMismatch,
  signatureMissing,
  signedId,
  timestampFault,
} from './scheme.ts';
import { parseTimestampedHeader, TIMESTAMPED_FORM } from './timestamped-header.ts';

/**
 * Reachflow's generic scheme, for senders that have none of their own:
 *
 *     x-reachflow-signature: t=<unix seconds>,v1=<hex>[,v1=<hex> …]
 *     x-reachflow-delivery:  <id, the same on each retry>
 *     x-reachflow-event:     <type of the event>
 *
 * Each `v1` is HMAC-SHA256, in lower-case hex, over `<t>.<delivery>.<event>.<raw body>`, a header that is not sent being
 * empty: a captured request is of no use after the replay window, and not under another id within it (an id has no
 * `.`). Several `v1` let a sender sign with the old and the new secret at once.
 */
const SIGNATURE_HEADER = 'x-reachflow-signature';
const DELIVERY_HEADER = 'x-reachflow-delivery';
const EVENT_HEADER = 'x-reachflow-event';

/** What is signed before the body. */
function signedPrefix(timestamp: string, deliveryId: string, eventType = ''): string {
  return `${timestamp}.${deliveryId}.${eventType}.`;
}

export const hmacScheme: SignatureScheme = {
  name: 'hmac',
  signatureHeader: SIGNATURE_HEADER,
  verify({ headers, rawBody, secrets, nowMs, windowMs }) {
    const header = parseTimestampedHeader(headers[SIGNATURE_HEADER]);
    if (header === undefined) {
      return signatureMissing(SIGNATURE_HEADER, TIMESTAMPED_FORM);
    }
    const { timestamp, signatures } = header;
    const deliveryId = signedId(headers, DELIVERY_HEADER);
    const eventType = headerToken(headers, EVENT_HEADER);
    // What is signed has to be there before it can be checked.
    if (deliveryId === undefined) return deliveryIdMissing(DELIVERY_HEADER, true);
    const signed = signedPrefix(timestamp, deliveryId, eventType);
    if (!anySignatureMatches(signatures, secrets, signed, rawBody)) {
      return signatureMismatch();
    }
    const fault = timestampFault(timestamp, { nowMs, windowMs });
    if (fault !== undefined) return fault;
    return { ok: true, deliveryId, eventType, occurredAt: Number(timestamp) * 1_000 };
  },
};

/**
 * The headers that a sender puts on a request.
 * @param input.timestampMs ms since the epoch; signed in whole seconds.
 */
export function signHmac(input: {
  readonly secret: string;
  readonly body: string | Uint8Array;
  readonly deliveryId: string;
  readonly eventType: string;
  readonly timestampMs: number;
}): Record<string, string> {
  const timestamp = String(Math.floor(input.timestampMs / 1_000));
  const signed = signedPrefix(timestamp, input.deliveryId, input.eventType);
  const signature = hmacSha256(input.secret, signed, input.body).toString('hex');
  return {
    'content-type': 'application/json',
    [SIGNATURE_HEADER]: `t=${timestamp},v1=${signature}`,
    [DELIVERY_HEADER]: input.deliveryId,
    [EVENT_HEADER]: input.eventType,
  };
}
