import { createPublicKey, type KeyObject, verify as verifySignature } from 'node:crypto';
import {
  anySignatureMatches,
  deliveryIdMissing,
  hmacSha256,
  MAX_SIGNATURES,
  parseSha256Base64,
  parseUnixSeconds,
  type SignatureScheme,
  signatureMismatch,
  signatureMissing,
  signedId,
  timestampFault,
} from './scheme.ts';

/**
 * Standard Webhooks (standardwebhooks.com, specification 1.0):
 *
 *     webhook-id:        <id, the same on each retry>
 *     webhook-timestamp: <unix seconds of the attempt>
 *     webhook-signature: v1,<base64>[ v1,<base64>][ v1a,<base64> …]
 *
 * Signed is `<id>.<timestamp>.<raw body>`: by `v1` with HMAC-SHA256 and the bytes that a secret `whsec_<base64>` stands for,
 * by `v1a` with ed25519, checked with a public key `whpk_<base64>`. A list lets a sender sign with the old and the new
 * key at once; versions that we do not know are ignored.
 */
const ID_HEADER = 'webhook-id';
const TIMESTAMP_HEADER = 'webhook-timestamp';
const SIGNATURE_HEADER = 'webhook-signature';
const SECRET_PREFIX = 'whsec_';
const PUBLIC_KEY_PREFIX = 'whpk_';
const ED25519_KEY_BYTES = 32;
const ED25519_SIGNATURE_BYTES = 64;
/** SubjectPublicKeyInfo of ed25519 (RFC 8410), before the key's 32 bytes. */
const ED25519_SPKI = Buffer.from('302a300506032b6570032100', 'hex');
const BASE64 = /^[A-Za-z0-9+/]+={0,2}$/;

interface Signatures {
  readonly symmetric: readonly Buffer[];
  readonly asymmetric: readonly Buffer[];
}

function parseSignatures(value: string | string[] | undefined): Signatures | undefined {
  if (typeof value !== 'string' || value.length > 1_024) return undefined;
  const symmetric: Buffer[] = [];
  const asymmetric: Buffer[] = [];
  for (const part of value.split(' ')) {
    if (part.startsWith('v1,')) {
      const signature = parseSha256Base64(part.slice(3));
      if (signature !== undefined) symmetric.push(signature);
    } else if (part.startsWith('v1a,') && BASE64.test(part.slice(4))) {
      const signature = Buffer.from(part.slice(4), 'base64');
      if (signature.length === ED25519_SIGNATURE_BYTES) asymmetric.push(signature);
    }
  }
  const count = symmetric.length + asymmetric.length;
  return count === 0 || count > MAX_SIGNATURES ? undefined : { symmetric, asymmetric };
}

/** The bytes of `whsec_<base64>` or `whpk_<base64>`; undefined for another prefix. */
function keyBytes(secret: string, prefix: string): Buffer | undefined {
  return secret.startsWith(prefix) ? Buffer.from(secret.slice(prefix.length), 'base64') : undefined;
}

function isKeyBytes(bytes: Buffer | undefined): bytes is Buffer {
  return bytes !== undefined;
}

/** The ed25519 key of 32 raw bytes. */
function publicKeyOf(bytes: Buffer): KeyObject {
  return createPublicKey({
    key: Buffer.concat([ED25519_SPKI, bytes]),
    format: 'der',
    type: 'spki',
  });
}

/** Is it `whsec_` and 16 to 64 bytes, or `whpk_` and an ed25519 key of 32, in base64? */
export function isStandardWebhooksKey(text: string): boolean {
  const prefix = [SECRET_PREFIX, PUBLIC_KEY_PREFIX].find((each) => text.startsWith(each));
  if (prefix === undefined || !BASE64.test(text.slice(prefix.length))) return false;
  const { length } = Buffer.from(text.slice(prefix.length), 'base64');
  return prefix === SECRET_PREFIX ? length >= 16 && length <= 64 : length === ED25519_KEY_BYTES;
}

function anyEd25519Matches(
  signatures: readonly Buffer[],
  secrets: readonly string[],
  signed: string,
  rawBody: Uint8Array,
): boolean {
  const keys = secrets.map((secret) => keyBytes(secret, PUBLIC_KEY_PREFIX)).filter(isKeyBytes);
  if (signatures.length === 0 || keys.length === 0) return false;
  const message = Buffer.concat([Buffer.from(signed), rawBody]);
  return keys
    .map(publicKeyOf)
    .some((key) => signatures.some((each) => verifySignature(null, message, key, each)));
}

export const standardWebhooksScheme: SignatureScheme = {
  name: 'standard-webhooks',
  signatureHeader: SIGNATURE_HEADER,
  verify({ headers, rawBody, secrets, nowMs, windowMs }) {
    const signatures = parseSignatures(headers[SIGNATURE_HEADER]);
    if (signatures === undefined) {
      return signatureMissing(SIGNATURE_HEADER, 'v1,<base64> or v1a,<base64>');
    }
    const timestamp = parseUnixSeconds(headers[TIMESTAMP_HEADER]);
    if (timestamp === undefined) return signatureMissing(TIMESTAMP_HEADER, '<unix seconds>');
    const deliveryId = signedId(headers, ID_HEADER);
    if (deliveryId === undefined) return deliveryIdMissing(ID_HEADER, true);
    const signed = `${deliveryId}.${timestamp}.`;
    const shared = secrets.map((secret) => keyBytes(secret, SECRET_PREFIX)).filter(isKeyBytes);
    const isAuthentic =
      anySignatureMatches(signatures.symmetric, shared, signed, rawBody) ||
      anyEd25519Matches(signatures.asymmetric, secrets, signed, rawBody);
    if (!isAuthentic) return signatureMismatch();
    return (
      timestampFault(timestamp, { nowMs, windowMs }) ?? {
        ok: true,
        deliveryId,
        eventType: undefined,
      }
    );
  },
};

/**
 * The headers of a delivery signed with `v1`.
 * @param input.secret `whsec_<base64>`.
 * @param input.timestampMs ms since the epoch.
 */
export function signStandardWebhooks(input: {
  readonly secret: string;
  readonly body: string | Uint8Array;
  readonly id: string;
  readonly timestampMs: number;
}): Record<string, string> {
  const timestamp = String(Math.floor(input.timestampMs / 1_000));
  const key = keyBytes(input.secret, SECRET_PREFIX) ?? Buffer.from(input.secret, 'base64');
  const signature = hmacSha256(key, `${input.id}.${timestamp}.`, input.body).toString('base64');
  return {
    'content-type': 'application/json',
    [ID_HEADER]: input.id,
    [TIMESTAMP_HEADER]: timestamp,
    [SIGNATURE_HEADER]: `v1,${signature}`,
  };
}
