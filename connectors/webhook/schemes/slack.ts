import {
  anySignatureMatches,
  hmacSha256,
  parseSha256Hex,
  parseUnixSeconds,
  type SignatureScheme,
  signatureMismatch,
  signatureMissing,
  timestampFault,
} from './scheme.ts';

/**
 * Slack's scheme (Events API): `x-slack-signature: v0=<hex>`, HMAC-SHA256 over `v0:<x-slack-request-timestamp>:<raw body>`.
 * The id of the event is in the payload (`/event_id`), the same on each retry. Before the first event Slack posts a
 * `url_verification` with a challenge, which has to be answered with the challenge.
 * Source: Slack Docs, "Verifying requests from Slack" and "url_verification".
 */
const SIGNATURE_HEADER = 'x-slack-signature';
const TIMESTAMP_HEADER = 'x-slack-request-timestamp';
const PREFIX = 'v0=';
const CHALLENGE = /^[\x21-\x7e]{1,512}$/;

export const slackScheme: SignatureScheme = {
  name: 'slack',
  signatureHeader: SIGNATURE_HEADER,
  verify({ headers, rawBody, secrets, nowMs, windowMs }) {
    const header = headers[SIGNATURE_HEADER];
    const signature =
      typeof header === 'string' && header.startsWith(PREFIX)
        ? parseSha256Hex(header.slice(PREFIX.length))
        : undefined;
    if (signature === undefined) return signatureMissing(SIGNATURE_HEADER, 'v0=<64 hex digits>');
    const timestamp = parseUnixSeconds(headers[TIMESTAMP_HEADER]);
    if (timestamp === undefined) return signatureMissing(TIMESTAMP_HEADER, '<unix seconds>');
    if (!anySignatureMatches([signature], secrets, `v0:${timestamp}:`, rawBody)) {
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
  challenge(payload) {
    if (typeof payload !== 'object' || payload === null) return undefined;
    const { type, challenge } = payload as { type?: unknown; challenge?: unknown };
    const isChallenge = type === 'url_verification' && typeof challenge === 'string';
    return isChallenge && CHALLENGE.test(challenge) ? challenge : undefined;
  },
};

/** The headers that Slack puts on a delivery. @param input.timestampMs ms since the epoch. */
export function signSlack(input: {
  readonly secret: string;
  readonly body: string | Uint8Array;
  readonly timestampMs: number;
}): Record<string, string> {
  const timestamp = String(Math.floor(input.timestampMs / 1_000));
  const signature = hmacSha256(input.secret, `v0:${timestamp}:`, input.body).toString('hex');
  return {
    'content-type': 'application/json',
    [SIGNATURE_HEADER]: `${PREFIX}${signature}`,
    [TIMESTAMP_HEADER]: timestamp,
  };
}
