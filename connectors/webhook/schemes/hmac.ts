import {
  anySignatureMatches,
  deliveryIdMissing,
  headerToken,
  hmacSha256,
  MAX_SIGNATURES,
  parseSha256Hex,
  type SignatureScheme,
  signatureMismatch,
  signatureMissing,
  signedId,
  timestampFault,
} from './scheme.ts';

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

interface SignatureHeader {
  /** As it was signed, digit by digit. */
  readonly timestamp: string;
  readonly signatures: readonly Buffer[];
}

function parseSignatureHeader(value: string | string[] | undefined): SignatureHeader | undefined {
  if (typeof value !== 'string' || value.length > 1_024) return undefined;
  let timestamp: string | undefined;
  const signatures: Buffer[] = [];
  for (const part of value.split(',')) {
    const field = part.trim();
    const equals = field.indexOf('=');
    const name = field.slice(0, Math.max(equals, 0));
    const text = field.slice(equals + 1);
    if (name === 't') {
      if (timestamp !== undefined || !/^\d{1,12}$/.test(text)) return undefined;
      timestamp = text;
    } else if (name === 'v1') {
      const signature = parseSha256Hex(text);
      if (signature === undefined || signatures.length === MAX_SIGNATURES) return undefined;
      signatures.push(signature);
    }
    // Other fields are ignored: a later version of the scheme may add its own.
  }
  return timestamp === undefined || signatures.length === 0 ? undefined : { timestamp, signatures };
}

/** What is signed before the body. */
function signedPrefix(timestamp: string, deliveryId: string, eventType = ''): string {
  return `${timestamp}.${deliveryId}.${eventType}.`;
}

export const hmacScheme: SignatureScheme = {
  name: 'hmac',
  signatureHeader: SIGNATURE_HEADER,
  verify({ headers, rawBody, secrets, nowMs, windowMs }) {
    const header = parseSignatureHeader(headers[SIGNATURE_HEADER]);
    if (header === undefined) {
      return signatureMissing(SIGNATURE_HEADER, 't=<unix seconds>,v1=<64 hex digits>');
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
