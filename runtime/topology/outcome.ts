import type { ReachflowError } from '../errors.ts';

/**
 * What a step says of a record. A throw is a bug: it stops the task, with the record's position.
 * - `ok`: here is what it became;
 * - `drop`: of no interest, counted under `reason`;
 * - `dlq`: cannot be handled, goes to `<topic>.<pipeline>.dlq` in the same transaction;
 * - `redirect`: to one of the step's named outputs;
 * - `retry`: not now: the task stands at this record and tries it again after `afterMs`.
 */
export type Outcome<V> =
  | { readonly kind: 'ok'; readonly value: V }
  | NotOk
  | { readonly kind: 'redirect'; readonly output: string; readonly value: unknown };

/** What a record can come to beside `ok`, whatever the step makes. */
export type NotOk =
  | { readonly kind: 'drop'; readonly reason: string }
  | { readonly kind: 'dlq'; readonly error: ReachflowError; readonly tenant?: string }
  | { readonly kind: 'retry'; readonly afterMs: number };

export function ok<V>(value: V): Outcome<V> {
  return { kind: 'ok', value };
}

export function drop(reason: string): NotOk {
  return { kind: 'drop', reason };
}

export function dlq(error: ReachflowError, tenant?: string): NotOk {
  return tenant === undefined ? { kind: 'dlq', error } : { kind: 'dlq', error, tenant };
}

export function redirect<V>(output: string, value: unknown): Outcome<V> {
  return { kind: 'redirect', output, value };
}

/** @param afterMs from now, ms; the partition waits so long. */
export function retryLater(afterMs: number): NotOk {
  return { kind: 'retry', afterMs };
}
