import { describe, expect, it } from 'vitest';
import { structuredSerde } from '../state/serde.ts';
import { matchStateSerde } from './match-serde.ts';
import { eventsByStep, type MatchNode, NOTHING_MATCHED } from './match-state.ts';
import { type Found, Matcher } from './matcher.ts';
import {
  LEFT_OUT,
  type PublishedCase,
  type PublishedEvent,
  patternOf,
  publishedCases,
} from './testing/published-cases.ts';

const NO_LIMITS = { partialMatches: 10_000, events: 1_000_000 };

/** Places of the events of a match, in order of its steps. */
function places(last: MatchNode, steps: number): number[] {
  return eventsByStep(last, steps)
    .flat()
    .map(({ value }) => (value as PublishedEvent).place);
}

function run({ events, again, pattern, advanceTo }: PublishedCase) {
  const matcher = new Matcher(patternOf(pattern), NO_LIMITS);
  const serde = matchStateSerde(matcher.states, structuredSerde());
  const matches: Found[] = [];
  const timedOut: Found[] = [];
  let state = NOTHING_MATCHED;
  for (const [place, [name, at, price, volume]] of events.entries()) {
    const after = matcher.advance(state, at);
    const event: PublishedEvent = { place: again?.[place] ?? place, name, price, volume };
    const next = matcher.accept(after.state, event, at);
    matches.push(...after.matches, ...next.matches);
    timedOut.push(...after.timedOut, ...next.timedOut);
    // As it is between two epochs and a crash: what is kept is what is read again.
    state = serde.decode(serde.encode(next.state));
  }
  if (advanceTo !== undefined) state = matcher.advance(state, advanceTo).state;
  return { matcher, state, matches, timedOut };
}

const sorted = (lists: readonly (readonly number[])[]) =>
  lists.map((list) => [...list].sort((a, b) => a - b).join()).sort();

function check(published: PublishedCase): void {
  const { matcher, state, matches, timedOut } = run(published);
  const steps = matcher.names.length;
  const found = matches.map(({ last }) => places(last, steps));
  const { matchCount, byStep, left, eventsLeft } = published;
  if (published.matches !== undefined) {
    const { again } = published;
    const expected = published.matches.map((match) => match.map((at) => again?.[at] ?? at));
    expect(sorted(found)).toEqual(sorted(expected));
  }
  if (matchCount !== undefined) expect(found).toHaveLength(matchCount);
  if (byStep !== undefined) {
    const named = matches.map(({ last }) =>
      eventsByStep(last, steps).map((taken, step) => [
        matcher.names[step],
        taken.map(({ value }) => (value as PublishedEvent).place),
      ]),
    );
    expect(named).toEqual(byStep.map((match) => Object.entries(match)));
  }
  if (published.timedOut !== undefined) {
    const ended = timedOut.map(({ last, at }) => `${places(last, steps).join()} at ${at}`);
    expect(ended.sort()).toEqual(
      published.timedOut.map(([of, at]) => `${of.join()} at ${at}`).sort(),
    );
  }
  if (left !== undefined) expect(state.partial).toHaveLength(left);
  if (eventsLeft !== undefined) {
    const kept = new Set(state.partial.flatMap(({ last }) => places(last, steps)));
    expect(kept.size + state.complete.length).toBe(eventsLeft);
  }
}

const cases = publishedCases();

describe.each([...new Set(cases.map(({ suite }) => suite))])('Flink CEP, %s', (suite) => {
  for (const published of cases) {
    if (published.suite === suite) it(published.name, () => check(published));
  }
});

describe('the table of cases', () => {
  it('has every case of these suites, or says why not', () => {
    const counts = new Map<string, number>();
    const here = cases.map(({ suite, name }) => `${suite}.${name}`);
    // What Flink runs with and without a time is two cases here, and one of its tests.
    const tests = [...here, ...Object.keys(LEFT_OUT)].map((name) => name.replace(/\[.*/, ''));
    for (const name of new Set(tests)) {
      const [suite = ''] = name.split('.');
      counts.set(suite, (counts.get(suite) ?? 0) + 1);
    }
    // As counted in the files of Flink, `@Test` by `@Test`.
    expect(Object.fromEntries(counts)).toEqual({
      NFAITCase: 70,
      GreedyITCase: 17,
      NotPatternITCase: 28,
      TimesOrMoreITCase: 11,
      UntilConditionITCase: 12,
      TimesRangeITCase: 12,
      GroupITCase: 16,
      AfterMatchSkipITCase: 26,
      IterativeConditionsITCase: 7,
      SameElementITCase: 8,
    });
  });

  it('checks something in every case', () => {
    for (const { matches, matchCount, byStep, timedOut, left, eventsLeft } of cases) {
      expect(
        [matches, matchCount, byStep, timedOut, left, eventsLeft].some((x) => x !== undefined),
      ).toBe(true);
    }
  });
});
