import {
  anySignatureMatches,
  deliveryIdMissing,
  headerToken,
  hmacSha256,
  parseSha256Hex,
  type SignatureScheme,
  signatureMismatch,
  signatureMissing,
} from './scheme.ts';

/**
 * GitHub's scheme: HMAC-SHA256, in hex, over the raw body. No timestamp is signed, so there is no replay window:
 * a replayed delivery is dropped by its id, downstream.
 * Source: GitHub Docs, "Validating webhook deliveries".
 */
const SIGNATURE_HEADER = 'x-hub-signature-256';
const DELIVERY_HEADER = 'x-github-delivery';
const EVENT_HEADER = 'x-github-event';
const PREFIX = 'sha256=';

export const githubScheme: SignatureScheme = {
  name: 'github',
  signatureHeader: SIGNATURE_HEADER,
  verify({ headers, rawBody, secrets }) {
    const header = headers[SIGNATURE_HEADER];
    const signature =
      typeof header === 'string' && header.startsWith(PREFIX)
        ? parseSha256Hex(header.slice(PREFIX.length))
        : undefined;
    if (signature === undefined)
      return signatureMissing(SIGNATURE_HEADER, 'sha256=<64 hex digits>');
    if (!anySignatureMatches([signature], secrets, rawBody)) return signatureMismatch();
    const deliveryId = headerToken(headers, DELIVERY_HEADER);
    if (deliveryId === undefined) return deliveryIdMissing(DELIVERY_HEADER);
    return { ok: true, deliveryId, eventType: headerToken(headers, EVENT_HEADER) };
  },
};

/** The headers that GitHub puts on a delivery. */
export function signGithub(input: {
  readonly secret: string;
  readonly body: string | Uint8Array;
  readonly deliveryId: string;
  readonly event: string;
}): Record<string, string> {
  return {
    'content-type': 'application/json',
    [SIGNATURE_HEADER]: `${PREFIX}${hmacSha256(input.secret, input.body).toString('hex')}`,
    [DELIVERY_HEADER]: input.deliveryId,
    [EVENT_HEADER]: input.event,
  };
}
