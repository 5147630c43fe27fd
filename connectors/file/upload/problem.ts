import { STATUS_CODES } from 'node:http';
import type { ReachflowError } from '../../../runtime/errors.ts';

/** A request that is not accepted. */
export interface Refusal {
  readonly status: number;
  readonly code: string;
  readonly detail: string;
  /** Seconds after which to try again. */
  readonly retryAfterSeconds?: number;
}

/** The RFC 9457 document of a refusal; `code` is stable. */
export function problemText({ status, code, detail }: Refusal): string {
  const type = `urn:reachflow:problem:${code.toLowerCase().replaceAll('_', '-')}`;
  return JSON.stringify({ type, title: STATUS_CODES[status] ?? 'Error', status, code, detail });
}

/** What tus's server answers with: it takes thrown objects of this shape. */
export function tusRefusal(refusal: Refusal): { status_code: number; body: string } {
  return { status_code: refusal.status, body: problemText(refusal) };
}

/** A failure of ours as a refusal. */
export function refusalOf({ code, message, retry }: ReachflowError): Refusal {
  return retry === 'backoff'
    ? { status: 503, code, detail: message, retryAfterSeconds: 5 }
    : { status: 500, code, detail: message };
}
