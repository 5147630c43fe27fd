import { createHmac, timingSafeEqual } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';

export interface VerifyInput {
  /** Lower-case names, as Node gives them; a repeated header arrives joined with `, `. */
  readonly headers: IncomingHttpHeaders;
  /** The body as it came over the wire: a signature never covers a re-serialised one. */
  readonly rawBody: Uint8Array;
  /** All active secrets; the signature of any of them is good. */
  readonly secrets: readonly string[];
  /** Our clock, ms since the epoch. */
  readonly nowMs: number;
  /** How far a signed timestamp may be from `nowMs`, either way, ms. */
  readonly windowMs: number;
}

export type Verification =
  | {
      readonly ok: true;
      /** The sender's id of the delivery, the same on each of its retries. */
      readonly deliveryId: string;
      /** Undefined when the sender sent no header for it. */
      readonly eventType: string | undefined;
      /** When the sender says it happened, ms since the epoch. */
      readonly occurredAt?: number;
    }
  | {
      readonly ok: false;
      /** 401: not proven to come from the sender. 400: proven, but a header that we need is not there. */
      readonly status: 400 | 401;
      readonly code: string;
      readonly reason: string;
      readonly hint: string;
    };

/** One sender's way to sign. Pure: no clock, no I/O, no state. */
export interface SignatureScheme {
  readonly name: string;
  verify(input: VerifyInput): Verification;
}

const SHA256_BYTES = 32;

/** HMAC-SHA256 over the concatenated parts. */
export function hmacSha256(secret: string, ...parts: readonly (string | Uint8Array)[]): Buffer {
  const hmac = createHmac('sha256', secret);
  for (const part of parts) hmac.update(part);
  return hmac.digest();
}

/** 32 bytes from 64 lower-case hex digits, undefined for anything else: one signature has one spelling. */
export function parseSha256Hex(text: string): Buffer | undefined {
  return /^[0-9a-f]{64}$/.test(text) ? Buffer.from(text, 'hex') : undefined;
}

/**
 * Does any given signature match any active secret? Compares all pairs in constant time, without stopping at
 * the first match: the time taken says nothing about which secret or how many bytes were right.
 */
export function anySignatureMatches(
  given: readonly Buffer[],
  secrets: readonly string[],
  ...parts: readonly (string | Uint8Array)[]
): boolean {
  let matches = 0;
  for (const secret of secrets) {
    const expected = hmacSha256(secret, ...parts);
    for (const signature of given) {
      if (signature.length === SHA256_BYTES && timingSafeEqual(signature, expected)) matches += 1;
    }
  }
  return matches > 0;
}

/** Printable ASCII without spaces: what may become part of a key, a header or a log line. */
const TOKEN = /^[\x21-\x7e]{1,200}$/;

/** A header as a token; undefined when it is absent, repeated (a list), too long or not printable. */
export function headerToken(headers: IncomingHttpHeaders, name: string): string | undefined {
  const value = headers[name];
  return typeof value === 'string' && TOKEN.test(value) ? value : undefined;
}

/** The 401 of a request without a usable signature header. */
export function signatureMissing(header: string, format: string): Verification {
  return {
    ok: false,
    status: 401,
    code: 'SIGNATURE_MISSING',
    reason: `the header ${header} is absent or not of the form ${format}`,
    hint: 'Sign the raw body with the secret of this source; docs/guides/webhooks.md has an example.',
  };
}

/** The 401 of a signature that no active secret makes. */
export function signatureMismatch(): Verification {
  return {
    ok: false,
    status: 401,
    code: 'SIGNATURE_MISMATCH',
    reason: 'the signature does not match the body with any active secret of this source',
    hint: 'Check the secret, and that exactly the bytes that were signed are sent (no re-formatting on the way).',
  };
}

/** The 400 of an authentic request whose delivery id is absent or unusable. */
export function deliveryIdMissing(header: string): Verification {
  return {
    ok: false,
    status: 400,
    code: 'DELIVERY_ID_MISSING',
    reason: `the header ${header} is absent, or not 1 to 200 printable ASCII characters`,
    hint: 'Send an id that is unique to the delivery and the same on each retry: duplicates are told by it.',
  };
}
