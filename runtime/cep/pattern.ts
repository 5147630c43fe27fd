import { ReachflowError } from '../errors.ts';

/**
 * Patterns of events, in the terms of Flink CEP and of SASE+ (Agrawal et al., “Efficient Pattern Matching over Event
 * Streams”, SIGMOD 2008): a sequence of steps, how close they follow each other, and how often each is taken.
 */

/** What an iterative condition sees beside the event. */
export interface MatchSoFar<V> {
  /** Events that this partial match has taken for a step, in order. */
  events(step: string): readonly V[];
  /** Event time of the event that is looked at, ms. */
  readonly timestamp: number;
}

/**
 * Whether a step takes an event. Has to depend on its arguments alone: it is asked several times, and again after a crash.
 * One that declares a single parameter is asked once an event; one with two, for each partial match.
 */
export type Condition<V> = (value: V, match: MatchSoFar<V>) => boolean;

/**
 * How a step follows the one before: `strict`, the very next event; `relaxed`, the next one that its condition takes;
 * `any`, each one that its condition takes; `not-next` and `not-followed` are steps that must not happen.
 */
export type Contiguity = 'strict' | 'relaxed' | 'any' | 'not-next' | 'not-followed';

/** How many events a step takes. */
export interface Times {
  readonly from: number;
  /** Infinity for no limit. */
  readonly to: number;
}

export interface PatternStep<V> {
  readonly name: string;
  /** Undefined takes every event. */
  readonly where: Condition<V> | undefined;
  readonly contiguity: Contiguity;
  /** Undefined: exactly one. */
  readonly times: Times | undefined;
  /** Between the events of one step. */
  readonly inner: 'strict' | 'relaxed' | 'any';
  readonly optional: boolean;
  readonly greedy: boolean;
  readonly until: Condition<V> | undefined;
  /** Longest time since the event before, ms. */
  readonly withinPreviousMs: number | undefined;
  /** The steps of a group, taken as one. */
  readonly group: readonly PatternStep<V>[] | undefined;
}

/** What a match rules out of those that overlap it. */
export type SkipStrategy<N extends string = string> =
  | { readonly kind: 'none' | 'next' | 'past-last' }
  | { readonly kind: 'first' | 'last'; readonly step: N };

/** A pattern as it is compiled: events `V` can be matched by it. */
export interface PatternFor<V, N extends string> {
  readonly steps: readonly PatternStep<V>[];
  readonly withinMs: number;
  readonly skip: SkipStrategy<N>;
}

export type AnyPattern = PatternFor<never, string>;

/** @throws ReachflowError `TOPOLOGY_INVALID`. */
export function invalidPattern(message: string, hint?: string): ReachflowError {
  const options = { code: 'TOPOLOGY_INVALID', domain: 'user' } as const;
  return new ReachflowError(message, hint === undefined ? options : { ...options, hint });
}

const PLAIN = {
  times: undefined,
  inner: 'relaxed',
  optional: false,
  greedy: false,
  until: undefined,
  withinPreviousMs: undefined,
  group: undefined,
} as const;

/**
 * A pattern of events `V` with steps named `N`. Immutable: each method returns another one. Quantifiers (`times` …
 * `until`) are of the step before them. Every method throws ReachflowError `TOPOLOGY_INVALID` for what cannot be.
 */
export class Pattern<V, N extends string> implements PatternFor<V, N> {
  readonly steps: readonly PatternStep<V>[];
  /** Longest time from the first event to the last, ms; Infinity for no limit. */
  readonly withinMs: number;
  readonly skip: SkipStrategy<N>;

  constructor(
    steps: readonly PatternStep<V>[],
    withinMs = Number.POSITIVE_INFINITY,
    skip: SkipStrategy<N> = { kind: 'none' },
  ) {
    this.steps = steps;
    this.withinMs = withinMs;
    this.skip = skip;
  }

  /** Strict contiguity: the very next event of the key has to be it. */
  next<M extends string>(name: M, where?: Condition<V>): Pattern<V, N | M> {
    return this.#and(name, 'strict', where);
  }

  /** Relaxed contiguity: the next event that `where` takes, whatever is between. */
  followedBy<M extends string>(name: M, where?: Condition<V>): Pattern<V, N | M> {
    return this.#and(name, 'relaxed', where);
  }

  /** Non-deterministic relaxed contiguity: each later event that `where` takes makes a match of its own. */
  followedByAny<M extends string>(name: M, where?: Condition<V>): Pattern<V, N | M> {
    return this.#and(name, 'any', where);
  }

  /** The very next event must not be it. */
  notNext(name: string, where?: Condition<V>): Pattern<V, N> {
    return this.#not(name, 'not-next', where);
  }

  /** None may come before the next step, or, as the last step, within the pattern's time. */
  notFollowedBy(name: string, where?: Condition<V>): Pattern<V, N> {
    return this.#not(name, 'not-followed', where);
  }

  /** A pattern as one step, to repeat it or leave it out; `contiguity` says how its first event follows. `within` and `skip` are those of the whole. */
  group<M extends string>(
    contiguity: 'strict' | 'relaxed' | 'any',
    group: Pattern<V, M>,
  ): Pattern<V, N | M> {
    return this.#with([...this.steps, groupStep(contiguity, group)]) as Pattern<V, N | M>;
  }

  /** Exactly `from` events, or from `from` to `to` of them; a `from` of 0 is `optional`. */
  times(from: number, to: number = from): Pattern<V, N> {
    if (!Number.isInteger(from) || from < 0 || !(to >= from) || to < 1)
      throw invalidPattern(`${this.#last.name} is to be taken ${from} to ${to} times`);
    if (Number.isFinite(to) && to > MAX_TIMES)
      throw invalidPattern(
        `${this.#last.name} is to be taken ${to} times, more than ${MAX_TIMES}`,
        'Count before the pattern: a window’s counts, and a condition on their sum.',
      );
    const last = this.#quantifiable('times');
    if (last.times !== undefined) throw invalidPattern(`${last.name} has a quantifier already`);
    const step = { ...last, times: { from: Math.max(from, 1), to } };
    return from === 0 ? this.#replace(step).optional() : this.#replace(step);
  }

  /** One or more; the same as `times(1, Infinity)`. */
  oneOrMore(): Pattern<V, N> {
    return this.times(1, Number.POSITIVE_INFINITY);
  }

  /** May be missing. */
  optional(): Pattern<V, N> {
    const last = this.#quantifiable('optional');
    if (last.optional) throw invalidPattern(`${last.name} is optional already`);
    if (this.steps.at(-2)?.greedy === true)
      throw invalidPattern(`${last.name} is optional, but follows a greedy step`);
    return this.#replace({ ...last, optional: true });
  }

  /** Takes as many as it can before the next step; reluctant, the default, gives each shorter match, too. */
  greedy(): Pattern<V, N> {
    const last = this.#repeated('greedy');
    if (last.inner === 'any' || last.group !== undefined)
      throw invalidPattern(`${last.name} cannot be greedy: it allows combinations, or is a group`);
    return this.#replace({ ...last, greedy: true });
  }

  /** The step's events directly follow each other. */
  consecutive(): Pattern<V, N> {
    return this.#replace({ ...this.#once('consecutive'), inner: 'strict' });
  }

  /** The step's events may leave out some that would do: each combination is a match. */
  allowCombinations(): Pattern<V, N> {
    return this.#replace({ ...this.#once('allowCombinations'), inner: 'any' });
  }

  /** The step takes no more once an event is `condition`; that event belongs to what follows. */
  until(condition: Condition<V>): Pattern<V, N> {
    const last = this.#quantifiable('until');
    if (last.times?.to !== Number.POSITIVE_INFINITY)
      throw invalidPattern(`${last.name} has an until, but takes a limited number of events`);
    if (last.until !== undefined) throw invalidPattern(`${last.name} has an until already`);
    return this.#replace({ ...last, until: condition });
  }

  /** From the first event to the last, in event time: a match is shorter than this, ms. */
  within(ms: number): Pattern<V, N> {
    requireTime(ms);
    return new Pattern(this.steps, Math.min(ms, this.withinMs), this.skip);
  }

  /** From the event before to the last step’s, in event time, ms; of a step with `times`, between its own events. */
  withinPrevious(ms: number): Pattern<V, N> {
    requireTime(ms);
    if (this.#last.group !== undefined)
      throw invalidPattern('withinPrevious is for steps, not for groups');
    return this.#replace({ ...this.#last, withinPreviousMs: ms });
  }

  /** Every match; the default. */
  noSkip(): Pattern<V, N> {
    return this.#skipping({ kind: 'none' });
  }

  /** No other match begins with the same event. */
  skipToNext(): Pattern<V, N> {
    return this.#skipping({ kind: 'next' });
  }

  /** No other match begins with or before the match's last event. */
  skipPastLast(): Pattern<V, N> {
    return this.#skipping({ kind: 'past-last' });
  }

  /** No other match begins before the match's first event of `step`. */
  skipToFirst(step: N): Pattern<V, N> {
    return this.#skipping({ kind: 'first', step });
  }

  /** No other match begins before the match's last event of `step`. */
  skipToLast(step: N): Pattern<V, N> {
    return this.#skipping({ kind: 'last', step });
  }

  #skipping(skip: SkipStrategy<N>): Pattern<V, N> {
    return new Pattern(this.steps, this.withinMs, skip);
  }

  get #last(): PatternStep<V> {
    const last = this.steps.at(-1);
    if (last === undefined) throw invalidPattern('a pattern has at least one step');
    return last;
  }

  #with(steps: readonly PatternStep<V>[]): Pattern<V, N> {
    return new Pattern(steps, this.withinMs, this.skip);
  }

  #replace(step: PatternStep<V>): Pattern<V, N> {
    return this.#with([...this.steps.slice(0, -1), step]);
  }

  #and<M extends string>(name: M, contiguity: Contiguity, where: Condition<V> | undefined) {
    return this.#with([...this.steps, patternStep(name, contiguity, where)]) as Pattern<V, N | M>;
  }

  #not(name: string, contiguity: 'not-next' | 'not-followed', where: Condition<V> | undefined) {
    if (this.#last.optional)
      throw invalidPattern(
        `${name} must not follow ${this.#last.name}, which is optional`,
        'Use two patterns: one with the optional step, one without it.',
      );
    return this.#with([...this.steps, patternStep(name, contiguity, where)]);
  }

  #quantifiable(what: string): PatternStep<V> {
    const last = this.#last;
    if (isNegative(last)) throw invalidPattern(`${last.name} must not happen: no ${what} for it`);
    return last;
  }

  #repeated(what: string): PatternStep<V> {
    const last = this.#quantifiable(what);
    if (last.times === undefined)
      throw invalidPattern(`${last.name} is ${what}, but takes one event: say how many first`);
    return last;
  }

  #once(what: string): PatternStep<V> {
    const last = this.#repeated(what);
    if (last.inner !== 'relaxed' || (what === 'allowCombinations' && last.greedy))
      throw invalidPattern(`${last.name}: ${what} cannot be had beside what was said before`);
    return last;
  }
}

/** A step that takes 1,000 events has a state for each: beyond that a count is what is meant. */
const MAX_TIMES = 1_000;

/** How a pattern begins. */
export interface PatternStart<V> {
  /** The first step. */
  begin<N extends string>(name: N, where?: Condition<V>): Pattern<V, N>;
  /** A group as the first step, to repeat it. */
  beginGroup<N extends string>(group: Pattern<V, N>): Pattern<V, N>;
}

/** Begins a pattern of events `V`: `pattern<Login>().begin('failed', (l) => !l.ok).times(3)`. */
export function pattern<V>(): PatternStart<V> {
  return {
    begin: (name, where) => new Pattern([patternStep(name, 'strict', where)]),
    beginGroup: (group) => new Pattern([groupStep('strict', group)]),
  };
}

/** Whether a step must not happen. */
export function isNegative({ contiguity }: PatternStep<never>): boolean {
  return contiguity === 'not-next' || contiguity === 'not-followed';
}

function patternStep<V>(
  name: string,
  contiguity: Contiguity,
  where: Condition<V> | undefined,
): PatternStep<V> {
  return { ...PLAIN, name, contiguity, where };
}

function groupStep<V>(contiguity: Contiguity, group: Pattern<V, string>): PatternStep<V> {
  return { ...PLAIN, name: '', contiguity, where: undefined, group: group.steps };
}

function requireTime(ms: number): void {
  if (!(ms > 0)) throw invalidPattern(`a pattern’s time is ${ms} ms, but has to be above 0`);
}
