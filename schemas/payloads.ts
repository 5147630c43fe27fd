import { ReachflowError } from '../runtime/errors.ts';
import type { PayloadRef } from './types.ts';

export type { PayloadRef };

/** Where payloads are that are kept beside their topic. */
export interface PayloadSource {
  /**
   * The text that a reference stands for, its hash verified.
   * @throws ReachflowError retry `backoff` where it may be had later (`CLAIM_NOT_FOUND`, `CLAIM_STORAGE_UNAVAILABLE`), retry
   *   `none` where it never will (`CLAIM_CORRUPT`, `CLAIM_EXPIRED`, `CLAIM_INVALID`).
   */
  read(ref: PayloadRef): Promise<string>;
}

/** A value with a payload, there or elsewhere. Only the codec, and who stores payloads, see the reference. */
export interface ClaimableValue {
  payload: string;
  payload_ref?: PayloadRef | null | undefined;
}

/** A text, or why it cannot be had. */
export type Payload = string | ReachflowError;

/** The same payload of another day is another object. */
function idOf({ sha256, day }: PayloadRef): string {
  return `${day}/${sha256}`;
}

/** The payloads of some values, for `TopicCodec.decode`. Let go of it and they are gone. */
export class Payloads {
  /** Index of the first value whose payload is not in here: the number of values where all are. */
  readonly end: number;
  /** Why the payload of the value at `end` cannot be had for now; undefined where it is only a matter of room. */
  readonly failure: ReachflowError | undefined;
  readonly #found: ReadonlyMap<string, Payload>;

  constructor(
    end: number,
    found: ReadonlyMap<string, Payload> = new Map(),
    failure?: ReachflowError,
  ) {
    this.end = end;
    this.failure = failure;
    this.#found = found;
  }

  /** The text of a reference. @throws ReachflowError why it can never be had. */
  of(ref: PayloadRef): string {
    const payload = this.#found.get(idOf(ref));
    if (payload === undefined) throw new Error('the payloads of another value were given');
    if (payload instanceof ReachflowError) throw payload;
    return payload;
  }
}

/** A reference and the first value that has it. */
interface Wanted {
  readonly ref: PayloadRef;
  readonly index: number;
}

/**
 * Reads what values refer to, from index `from` until `budgetBytes` are reached, one value at least. What is broken for good
 * is kept as such, to be thrown by `fill`; at what may be had later the payloads end.
 */
export async function readPayloads(
  source: PayloadSource,
  refs: readonly (PayloadRef | undefined)[],
  from: number,
  budgetBytes: number,
): Promise<Payloads> {
  const wanted = new Map<string, Wanted>();
  let bytes = 0;
  let end = from;
  for (; end < refs.length; end += 1) {
    const ref = refs[end];
    if (ref === undefined || wanted.has(idOf(ref))) continue;
    if (bytes > 0 && bytes + ref.bytes > budgetBytes) break;
    bytes += ref.bytes;
    wanted.set(idOf(ref), { ref, index: end });
  }
  const found = new Map<string, Payload>();
  let failure: ReachflowError | undefined;
  const outcomes = [...wanted.values()].map(async ({ ref, index }) => {
    try {
      found.set(idOf(ref), await source.read(ref));
    } catch (error) {
      if (!(error instanceof ReachflowError)) throw error;
      if (error.retry === 'none') found.set(idOf(ref), error);
      else if (index < end) [end, failure] = [index, error];
    }
  });
  await Promise.all(outcomes);
  return new Payloads(end, found, failure);
}
