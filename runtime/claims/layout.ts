import type { PayloadRef } from '../../schemas/payloads.ts';
import { ReachflowError } from '../errors.ts';

const DAY_MS = 86_400_000;
const SHA256 = /^[0-9a-f]{64}$/;
const DAY = /^\d{4}-\d{2}-\d{2}$/;
/** Largest day that a date can have (ECMA-262). */
const MAX_DAY = 100_000_000;

/** The day of a time, UTC, in days since 1970-01-01. */
export function dayOf(ms: number): number {
  return Math.floor(ms / DAY_MS);
}

/** When a day is over, ms since the epoch. */
export function endOfDay(day: number): number {
  return (day + 1) * DAY_MS;
}

/** The directory of a day, e.g. `2026-11-21`: all that is removed at one time. */
export function directoryOf(day: number): string {
  return new Date(day * DAY_MS).toISOString().slice(0, 10);
}

/** The day of a directory; undefined where it is none of ours. */
export function dayOfDirectory(name: string): number | undefined {
  if (!DAY.test(name)) return undefined;
  const ms = Date.parse(`${name}T00:00:00Z`);
  return Number.isNaN(ms) ? undefined : dayOf(ms);
}

/**
 * Where a payload is: by the day on which it was stored and its hash, so that nothing is ever stored again under a name
 * that is about to be removed. @throws ReachflowError `CLAIM_INVALID` for what nobody of us wrote.
 */
export function keyOf({ sha256, day }: Pick<PayloadRef, 'sha256' | 'day'>): string {
  if (!SHA256.test(sha256) || day < 0 || day > MAX_DAY) {
    throw new ReachflowError('payload_ref is none of ours', {
      code: 'CLAIM_INVALID',
      domain: 'user',
      hint: 'sha256 is 64 hex digits in lower case, day the number of days since 1970-01-01.',
    });
  }
  return `${directoryOf(day)}/${sha256.slice(0, 2)}/${sha256}`;
}
