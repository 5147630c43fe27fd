import { ReachflowError } from '../errors.ts';

/**
 * How records are put into windows of event time. Windows align to the epoch (1970). `graceMs` is how long after a
 * window's end its records are still counted, by the watermark of the partition that they came in.
 */
export type WindowSpec = TumblingWindow | SlidingWindow;

export interface TumblingWindow {
  readonly kind: 'tumbling';
  readonly sizeMs: number;
  readonly graceMs: number;
}

/** Overlapping windows of one size that begin every `everyMs` (also called hopping). */
export interface SlidingWindow {
  readonly kind: 'sliding';
  readonly sizeMs: number;
  readonly everyMs: number;
  readonly graceMs: number;
}

/** Windows that last as long as records of a key follow each other within `gapMs`. */
export interface SessionWindow {
  readonly kind: 'session';
  readonly gapMs: number;
  readonly graceMs: number;
}

function positive(name: string, value: number): void {
  if (Number.isSafeInteger(value) && value > 0) return;
  throw new ReachflowError(`${name} is ${value}, but has to be a whole number of ms above 0`, {
    code: 'TOPOLOGY_INVALID',
    domain: 'user',
  });
}

function notNegative(name: string, value: number): void {
  if (Number.isSafeInteger(value) && value >= 0) return;
  throw new ReachflowError(`${name} is ${value}, but has to be a whole number of ms, 0 or more`, {
    code: 'TOPOLOGY_INVALID',
    domain: 'user',
  });
}

/** Windows side by side. @param options.graceMs default 0. @throws ReachflowError `TOPOLOGY_INVALID`. */
export function tumbling(options: { sizeMs: number; graceMs?: number }): TumblingWindow {
  const { sizeMs, graceMs = 0 } = options;
  positive('sizeMs', sizeMs);
  notNegative('graceMs', graceMs);
  return { kind: 'tumbling', sizeMs, graceMs };
}

/** Windows of `sizeMs` that begin every `everyMs`. @throws ReachflowError `TOPOLOGY_INVALID`. */
export function sliding(options: {
  sizeMs: number;
  everyMs: number;
  graceMs?: number;
}): SlidingWindow {
  const { sizeMs, everyMs, graceMs = 0 } = options;
  positive('sizeMs', sizeMs);
  positive('everyMs', everyMs);
  notNegative('graceMs', graceMs);
  if (sizeMs % everyMs !== 0 || sizeMs / everyMs > 1_000) {
    throw new ReachflowError(`sizeMs (${sizeMs}) has to be 1 to 1000 times everyMs (${everyMs})`, {
      code: 'TOPOLOGY_INVALID',
      domain: 'user',
    });
  }
  return { kind: 'sliding', sizeMs, everyMs, graceMs };
}

/** Windows by activity. @throws ReachflowError `TOPOLOGY_INVALID`. */
export function session(options: { gapMs: number; graceMs?: number }): SessionWindow {
  const { gapMs, graceMs = 0 } = options;
  positive('gapMs', gapMs);
  notNegative('graceMs', graceMs);
  return { kind: 'session', gapMs, graceMs };
}

/** Start of the window of `sizeMs` that holds event time `at` (ms since the epoch). */
export function windowStart(at: number, sizeMs: number): number {
  return at - (((at % sizeMs) + sizeMs) % sizeMs);
}

/** Start of the first window that holds `at`; the others follow every `stepMs` up to and including `last`. */
export function windowRange(
  spec: WindowSpec,
  at: number,
): { readonly first: number; readonly last: number; readonly stepMs: number } {
  const stepMs = spec.kind === 'tumbling' ? spec.sizeMs : spec.everyMs;
  const last = windowStart(at, stepMs);
  return { first: last - spec.sizeMs + stepMs, last, stepMs };
}
