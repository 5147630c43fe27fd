import type { Condition, MatchSoFar } from './pattern.ts';

/** What a pattern is compiled to: states, and what an event makes of them (Flink CEP's and SASE+'s NFA). */

/**
 * `take` adds the event to the match; `ignore` leaves it out; `proceed` goes on without one, before the event is looked
 * at (an epsilon edge).
 */
export type EdgeAction = 'take' | 'ignore' | 'proceed';

export interface Edge {
  readonly action: EdgeAction;
  readonly to: State;
  /** Undefined is always. */
  check: Check | undefined;
}

/**
 * `final`: matched. `stop`: something came that must not: the partial match is given up. `pending`: matched as soon as
 * its time is over.
 */
export type StateKind = 'start' | 'normal' | 'final' | 'stop' | 'pending';

export interface State {
  /** Its place in `Automaton.states`: what serialised state names it by. */
  readonly id: number;
  /** Its step’s place in `Automaton.names`; -1 where it takes nothing. */
  readonly step: number;
  kind: StateKind;
  readonly edges: Edge[];
  /** Longest time since the event before, ms. */
  readonly withinPreviousMs: number;
}

export interface Automaton {
  readonly states: readonly State[];
  readonly start: State;
  /** Names of all steps, by what `State.step` says. */
  readonly names: readonly string[];
  /** Whether a step takes events, or must not happen. */
  readonly takes: readonly boolean[];
  readonly withinMs: number;
  /** States in which the end of the pattern's time is a match: of the last step that must not follow, and those that go on to it. */
  readonly matchedByTime: ReadonlySet<State>;
  readonly conditions: readonly Condition<unknown>[];
}

/** Of one event and one partial match. */
export type Check = (look: Look) => boolean;

const UNKNOWN = 0;
const YES = 1;
const NO = 2;

/**
 * One event as it is offered to partial matches. Asks each condition once a partial match, and those that look at the
 * event alone once an event: a threshold of 100 has 100 partial matches.
 */
export class Look {
  readonly #conditions: readonly Condition<unknown>[];
  /** Whether a condition sees the partial match. */
  readonly #iterative: readonly boolean[];
  readonly #anyIterative: boolean;
  readonly #answers: Uint8Array;
  #value: unknown;
  #match: MatchSoFar<unknown> | undefined;

  constructor(conditions: readonly Condition<unknown>[]) {
    this.#conditions = conditions;
    this.#iterative = conditions.map(({ length }) => length !== 1);
    this.#anyIterative = this.#iterative.includes(true);
    this.#answers = new Uint8Array(conditions.length);
  }

  /** Looks at another event. */
  event(value: unknown): void {
    this.#value = value;
    this.#answers.fill(UNKNOWN);
  }

  /** Looks from another partial match. */
  from(match: MatchSoFar<unknown>): void {
    this.#match = match;
    if (!this.#anyIterative) return;
    for (let index = 0; index < this.#answers.length; index += 1)
      if (this.#iterative[index] === true) this.#answers[index] = UNKNOWN;
  }

  /** Whether a condition is true of the event. A condition that throws is a bug of the pattern, as everywhere. */
  holds(index: number): boolean {
    const known = this.#answers[index];
    if (known !== UNKNOWN) return known === YES;
    const condition = this.#conditions[index];
    const match = this.#match;
    const holds = condition !== undefined && match !== undefined && condition(this.#value, match);
    this.#answers[index] = holds ? YES : NO;
    return holds;
  }
}

export function both(a: Check | undefined, b: Check | undefined): Check | undefined {
  if (a === undefined) return b;
  if (b === undefined) return a;
  return (look) => a(look) && b(look);
}

const never: Check = () => false;

export function not(check: Check | undefined): Check {
  return check === undefined ? never : (look) => !check(look);
}
