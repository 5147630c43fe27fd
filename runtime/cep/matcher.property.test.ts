import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { jsonSerde } from '../state/serde.ts';
import { matchStateSerde } from './match-serde.ts';
import { NOTHING_MATCHED } from './match-state.ts';
import { type Found, Matcher } from './matcher.ts';
import { type Contiguity, type Pattern, pattern } from './pattern.ts';
import { allMatches, type PlainStep } from './testing/all-matches.ts';

/**
 * Patterns against all their matches, found by trying every choice of events; and the same events in other cuts, with
 * the state serialised in between.
 */

interface Event {
  readonly place: number;
  readonly letter: string;
}

const LIMITS = { partialMatches: 100_000, events: 10_000_000 };

const letters = fc.constantFrom('a', 'b', 'c');
const some = fc.uniqueArray(letters, { minLength: 1, maxLength: 2 });
const step = fc.record({
  takes: some,
  contiguity: fc.constantFrom<Contiguity>('strict', 'relaxed', 'any'),
  times: fc.constantFrom(undefined, [1, 2], [2, 2], [1, 3], [1, Number.POSITIVE_INFINITY]),
  inner: fc.constantFrom('strict', 'relaxed', 'any'),
  optional: fc.boolean(),
  /** What must not happen between the step before and this one. */
  notNext: fc.option(some, { nil: undefined, freq: 4 }),
  notFollowed: fc.option(some, { nil: undefined, freq: 4 }),
});
type Drawn = typeof step extends fc.Arbitrary<infer S> ? S : never;
const drawnPattern = fc.record({
  steps: fc.array(step, { minLength: 1, maxLength: 3 }),
  within: fc.option(fc.integer({ min: 1, max: 12 }), { nil: undefined }),
  absent: fc.option(some, { nil: undefined, freq: 4 }),
});
const input = fc.array(fc.record({ letter: letters, gap: fc.nat(3) }), { maxLength: 8 });

/** A negative step behind an optional one is refused, and one before an optional step is another question. */
function plainSteps(steps: readonly Drawn[]): PlainStep[] {
  return steps.map((drawn, index) => {
    const negates = index > 0 && steps[index - 1]?.optional === false && !drawn.optional;
    return {
      ...drawn,
      times: drawn.times === undefined ? [1, 1] : [drawn.times[0] ?? 1, drawn.times[1] ?? 1],
      inner: drawn.times === undefined ? 'relaxed' : drawn.inner,
      optional: drawn.optional && steps.length > 1,
      notNext: negates && drawn.notFollowed === undefined ? drawn.notNext : undefined,
      notFollowed: negates ? drawn.notFollowed : undefined,
    };
  });
}

function build(steps: readonly PlainStep[], drawn: readonly Drawn[]): Pattern<Event, string> {
  const taking = (takes: readonly string[]) => (event: Event) => takes.includes(event.letter);
  let built: Pattern<Event, string> | undefined;
  for (const [
    index,
    { takes, contiguity, inner, optional, notNext, notFollowed },
  ] of steps.entries()) {
    if (built === undefined) built = pattern<Event>().begin(`s${index}`, taking(takes));
    else {
      if (notNext !== undefined) built = built.notNext(`n${index}`, taking(notNext));
      if (notFollowed !== undefined) built = built.notFollowedBy(`f${index}`, taking(notFollowed));
      const how = { strict: 'next', relaxed: 'followedBy', any: 'followedByAny' } as const;
      built = built[how[contiguity as keyof typeof how]](`s${index}`, taking(takes));
    }
    const times = drawn[index]?.times;
    if (times !== undefined) {
      built = built.times(times[0] ?? 1, times[1] ?? 1);
      if (inner === 'strict') built = built.consecutive();
      if (inner === 'any') built = built.allowCombinations();
    }
    if (optional) built = built.optional();
  }
  if (built === undefined) throw new Error('nothing was drawn');
  return built;
}

function timed(events: readonly { readonly letter: string; readonly gap: number }[]) {
  let at = 0;
  return events.map(({ letter, gap }, place) => {
    at += gap;
    return { place, letter, at };
  });
}

const placesOf = ({ last }: Found): string => {
  const places: number[] = [];
  for (let node: Found['last'] | undefined = last; node !== undefined; node = node.before)
    places.unshift((node.event.value as Event).place);
  return places.join();
};

/** @param pauses where time is advanced in between, as a cut of a batch does, by event and part of the gap. */
function run(
  matcher: Matcher,
  events: readonly { readonly place: number; readonly letter: string; readonly at: number }[],
  pauses: readonly number[] = [],
) {
  const serde = matchStateSerde(matcher.states, jsonSerde());
  const found = { matches: [] as string[], timedOut: [] as string[], abandoned: [] as string[] };
  let state = NOTHING_MATCHED;
  const take = (step: ReturnType<Matcher['advance']>): void => {
    found.matches.push(...step.matches.map((one) => `${placesOf(one)} at ${one.at}`));
    found.timedOut.push(...step.timedOut.map((one) => `${placesOf(one)} at ${one.at}`));
    found.abandoned.push(...step.abandoned.map((one) => `${placesOf(one)} at ${one.at}`));
    state = pauses.length > 0 ? serde.decode(serde.encode(step.state)) : step.state;
  };
  let before = 0;
  for (const { place, letter, at } of events) {
    const pause = pauses[place] ?? 0;
    if (pause > 0) take(matcher.advance(state, Math.min(before + pause, at)));
    take(matcher.advance(state, at));
    take(matcher.accept(state, { place, letter }, at));
    before = at;
  }
  take(matcher.advance(state, 1_000));
  return found;
}

const withoutTime = (found: readonly string[]) => found.map((text) => text.split(' ')[0] ?? '');

describe('a pattern', () => {
  it('has the matches that trying every choice of events finds', () => {
    fc.assert(
      fc.property(drawnPattern, input, ({ steps: drawn, within, absent }, drawnEvents) => {
        const steps = plainSteps(drawn);
        fc.pre(steps.some(({ optional }) => !optional));
        let built = build(steps, drawn);
        const ends =
          absent !== undefined && within !== undefined && steps.at(-1)?.optional === false;
        if (ends)
          built = built.notFollowedBy('absent', ({ letter }) =>
            absent.some((one) => one === letter),
          );
        if (within !== undefined) built = built.within(within);
        const events = timed(drawnEvents);
        const found = run(new Matcher(built, LIMITS), events);
        const expected = allMatches(steps, events, { within, absent: ends ? absent : undefined });
        expect([...new Set(withoutTime(found.matches))].sort()).toEqual(expected);
      }),
      { numRuns: 1_500 },
    );
  });

  it('has the same matches and time-outs in every cut, its state read again in between', () => {
    const skips = fc.constantFrom('noSkip', 'skipToNext', 'skipPastLast', 'skipToLast');
    const pauses = fc.array(fc.nat(3), { minLength: 1, maxLength: 8 });
    const limits = fc.constantFrom(LIMITS, { partialMatches: 3, events: 1_000 });
    fc.assert(
      fc.property(
        fc.tuple(drawnPattern, skips, limits),
        input,
        pauses,
        ([{ steps: drawn, within }, skip, limit], drawnEvents, cuts) => {
          const steps = plainSteps(drawn);
          fc.pre(steps.some(({ optional }) => !optional));
          const plain = build(steps, drawn);
          const skipping = skip === 'skipToLast' ? plain.skipToLast('s0') : plain[skip]();
          const built = within === undefined ? skipping : skipping.within(within);
          const events = timed(drawnEvents);
          const matcher = new Matcher(built, limit);
          expect(run(matcher, events, cuts)).toEqual(run(matcher, events));
        },
      ),
      { numRuns: 1_500 },
    );
  });
});
