import { type Delivery, digestOf, eventIdOf } from './deliveries.ts';

/** What the sender of the webhooks remembers: what verification holds the product to. */
export interface LedgerView {
  /** Event id → MD5 of the body, for each delivery that was answered with 202. */
  readonly accepted: ReadonlyMap<string, string>;
  /** Event ids of deliveries that were refused: nothing may come of them. */
  readonly refused: ReadonlySet<string>;
  /** Requests by kind of delivery: how many were answered as they must be, and how many otherwise. */
  readonly kinds: ReadonlyMap<string, { readonly right: number; readonly wrong: number }>;
  /** Some of the wrong answers, for people. */
  readonly wrongSamples: readonly string[];
  /** Accepted deliveries that the ledger no longer holds, because it is full. */
  readonly forgotten: number;
}

const MAX_ACCEPTED = 500_000;
const MAX_REFUSED = 100_000;
const MAX_SAMPLES = 5;

/** Bounded: of a long run it keeps the newest deliveries. */
export class Ledger implements LedgerView {
  readonly accepted = new Map<string, string>();
  readonly refused = new Set<string>();
  readonly kinds = new Map<string, { right: number; wrong: number }>();
  readonly statuses = new Map<number, number>();
  readonly wrongSamples: string[] = [];
  readonly #maxAccepted: number;
  forgotten = 0;
  sent = 0;
  /** Requests that repeated an earlier delivery's id. */
  retries = 0;
  /** Deliveries that got no final answer: the product may or may not have them. */
  unanswered = 0;

  constructor(maxAccepted: number = MAX_ACCEPTED) {
    this.#maxAccepted = maxAccepted;
  }

  /** Notes the final answer to one request. @param isRepeat whether the id had been sent before. */
  answered(delivery: Delivery, status: number, isRepeat: boolean): void {
    this.sent += 1;
    if (isRepeat) this.retries += 1;
    this.statuses.set(status, (this.statuses.get(status) ?? 0) + 1);
    this.#countKind(delivery, status === delivery.expected, `answered ${status}`);
    const eventId = eventIdOf(delivery);
    if (status === 202) {
      // Deleted first, so that a repeat moves to the end: the oldest are forgotten first.
      this.accepted.delete(eventId);
      this.accepted.set(eventId, digestOf(delivery.body));
      if (this.accepted.size > this.#maxAccepted) {
        const oldest = this.accepted.keys().next().value;
        if (oldest !== undefined) this.accepted.delete(oldest);
        this.forgotten += 1;
      }
    } else if (delivery.kind !== 'valid' && this.refused.size < MAX_REFUSED) {
      this.refused.add(eventId);
    }
  }

  /** Notes a delivery that every attempt left without a final answer. */
  gaveUp(delivery: Delivery, why: string): void {
    this.sent += 1;
    this.unanswered += 1;
    this.#countKind(delivery, false, why);
  }

  #countKind(delivery: Delivery, right: boolean, what: string): void {
    const counts = this.kinds.get(delivery.kind) ?? { right: 0, wrong: 0 };
    if (right) counts.right += 1;
    else counts.wrong += 1;
    this.kinds.set(delivery.kind, counts);
    if (right || this.wrongSamples.length >= MAX_SAMPLES) return;
    this.wrongSamples.push(
      `${eventIdOf(delivery)} (${delivery.kind}): ${what}, expected ${delivery.expected}`,
    );
  }
}
