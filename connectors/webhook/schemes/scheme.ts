import { createHmac, type Hmac, timingSafeEqual } from 'node:crypto';
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
      /** The sender's id of the delivery, the same on each of its retries; undefined when the payload has to name it. */
      readonly deliveryId: string | undefined;
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
  /** Lower-case name of the header without which no request of the scheme is authentic. */
  readonly signatureHeader: string;
  verify(input: VerifyInput): Verification;
  /**
   * What a verified payload that asks whether we are there wants to hear, instead of being an event; undefined for
   * every other payload.
   */
  challenge?(payload: unknown): string | undefined;
}

const SHA256_BYTES = 32;
/** Of the request that is being verified, which takes one synchronous step. */
const expected = Buffer.alloc(SHA256_BYTES);

/** More than any rotation needs: it bounds the comparisons that one request can cause. */
export const MAX_SIGNATURES = 8;

/** HMAC-SHA256 over the concatenated parts. */
export function hmacSha256(
  secret: string | Uint8Array,
  ...parts: readonly (string | Uint8Array)[]
): Buffer {
  return hmacOf(secret, parts).digest();
}

function hmacOf(secret: string | Uint8Array, parts: readonly (string | Uint8Array)[]): Hmac {
  const hmac = createHmac('sha256', secret);
  for (const part of parts) hmac.update(part);
  return hmac;
}

/** 32 bytes from 64 lower-case hex digits, undefined for anything else: one signature has one spelling. */
export function parseSha256Hex(text: string): Buffer | undefined {
  return /^[0-9a-f]{64}$/.test(text) ? Buffer.from(text, 'hex') : undefined;
}

/** 32 bytes from canonical base64 with padding, undefined for anything else. */
export function parseSha256Base64(text: string): Buffer | undefined {
  return /^[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=$/.test(text)
    ? Buffer.from(text, 'base64')
    : undefined;
}

/** Unix seconds as a sender writes them; undefined for anything but 1 to 12 digits. */
export function parseUnixSeconds(text: string | string[] | undefined): string | undefined {
  return typeof text === 'string' && /^\d{1,12}$/.test(text) ? text : undefined;
}

/**
 * Does any given signature match any active secret? Compares all pairs in constant time, without stopping at
 * the first match: the time taken says nothing about which secret or how many bytes were right.
 */
export function anySignatureMatches(
  given: readonly Buffer[],
  secrets: readonly (string | Uint8Array)[],
  ...parts: readonly (string | Uint8Array)[]
): boolean {
  let matches = 0;
  for (const secret of secrets) {
    // Through a string: a digest as a Buffer of its own costs as much as the half of the hash.
    expected.write(hmacOf(secret, parts).digest('binary'), 'latin1');
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

/**
 * Like `headerToken`, for an id that is signed as `<id>.<…>`: without a `.`, or one signature would fit several splits
 * of the same text, and a captured request could be sent again under another id.
 */
export function signedId(headers: IncomingHttpHeaders, name: string): string | undefined {
  const id = headerToken(headers, name);
  return id?.includes('.') === true ? undefined : id;
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

/**
 * The 401 of a timestamp outside the replay window; undefined within it.
 * @param timestamp the signed one, unix seconds.
 */
export function timestampFault(
  timestamp: string,
  { nowMs, windowMs }: Pick<VerifyInput, 'nowMs' | 'windowMs'>,
): Verification | undefined {
  const aheadMs = Number(timestamp) * 1_000 - nowMs;
  if (Math.abs(aheadMs) <= windowMs) return undefined;
  const distance = `${Math.round(Math.abs(aheadMs) / 1_000)} s ${aheadMs < 0 ? 'in the past' : 'in the future'}`;
  return {
    ok: false,
    status: 401,
    code: 'TIMESTAMP_OUTSIDE_WINDOW',
    reason: `the signed timestamp ${timestamp} is ${distance}; ${windowMs / 1_000} s are allowed`,
    hint: "Sign each attempt anew with the current unix time in seconds, and check the sender's clock.",
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
export function deliveryIdMissing(header: string, isSigned = false): Verification {
  return {
    ok: false,
    status: 400,
    code: 'DELIVERY_ID_MISSING',
    reason: `the header ${header} is absent, or not 1 to 200 printable ASCII characters${isSigned ? ' without `.`' : ''}`,
    hint: 'Send an id that is unique to the delivery and the same on each retry: duplicates are told by it.',
  };
}
