import { MAX_SIGNATURES, parseSha256Hex, parseUnixSeconds } from './scheme.ts';

/** A header of the form `t=<unix seconds>,v1=<hex>[,v1=<hex> …]`, as Stripe's scheme and ours have it. */
export interface TimestampedHeader {
  /** As it was signed, digit by digit. */
  readonly timestamp: string;
  readonly signatures: readonly Buffer[];
}

export const TIMESTAMPED_FORM = 't=<unix seconds>,v1=<64 hex digits>';

/**
 * Undefined unless there is one timestamp and at least one signature, all of them well formed. Other fields are
 * ignored: a later version of a scheme may add its own, and a signature that we do not know is none that we accept.
 */
export function parseTimestampedHeader(
  value: string | string[] | undefined,
): TimestampedHeader | undefined {
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
