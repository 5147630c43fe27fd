import { readFileSync } from 'node:fs';
import { type Condition, type MatchSoFar, type Pattern, pattern } from '../pattern.ts';

/**
 * Published cases of Apache Flink's CEP library (Apache-2.0), `flink-libraries/flink-cep/src/test/java/org/apache/flink/
 * cep/nfa/*ITCase.java`: patterns, events and expected matches, as data. Left out, with the reason, in `LEFT_OUT`.
 */
export interface PublishedCase {
  readonly suite: string;
  readonly name: string;
  /** Name, event time, price, and volume where it has one. */
  readonly events: readonly (readonly [string, number, number, number?])[];
  /** Places of events that are the same as an earlier one, with its place. */
  readonly again?: Readonly<Record<string, number>>;
  readonly pattern: readonly Instruction[];
  /** Places of the events of each match. */
  readonly matches?: readonly (readonly number[])[];
  readonly matchCount?: number;
  readonly byStep?: readonly Readonly<Record<string, readonly number[]>>[];
  readonly timedOut?: readonly (readonly [readonly number[], number])[];
  /** Time is advanced to this at the end. */
  readonly advanceTo?: number;
  /** Partial matches at the end. */
  readonly left?: number;
  /** Different events in partial matches at the end. */
  readonly eventsLeft?: number;
}

/** `<method> <arguments>`; a group as the method and its own instructions. */
type Instruction = string | readonly [string, readonly Instruction[]];

export interface PublishedEvent {
  readonly place: number;
  readonly name: string;
  readonly price: number;
  readonly volume: number | undefined;
}

/**
 * Flink counts the time of `times(n, time)` to the first event of the step, and not to the last one; its documentation
 * says between its events, and so it is here.
 */
const TIME_OF_TIMES = 'Flink counts the time to the step’s first event, not to its last';

/** Cases of the same suites that are not here. */
export const LEFT_OUT: Readonly<Record<string, string>> = {
  'NFAITCase.testSharedBufferClearing': 'counts calls of a class of Flink’s own',
  'TimesOrMoreITCase.testTimesOrMoreNonStrict[3 ms]': TIME_OF_TIMES,
  'TimesOrMoreITCase.testTimesOrMoreNotStrictWithFollowedByAny[3 ms]': TIME_OF_TIMES,
  'TimesRangeITCase.testTimesRangeNonStrict[3 ms]': TIME_OF_TIMES,
  'TimesRangeITCase.testTimesRangeNotStrictWithFollowedByAny[3 ms]': TIME_OF_TIMES,
  'AfterMatchSkipITCase.testSkipToFirstElementOfMatch': 'throwExceptionOnMiss: not offered here',
  'AfterMatchSkipITCase.testSkipToFirstNonExistentPosition':
    'throwExceptionOnMiss: not offered here',
  'AfterMatchSkipITCase.testSkipToLastNonExistentPosition':
    'throwExceptionOnMiss: not offered here',
};

export function publishedCases(): readonly PublishedCase[] {
  const text = readFileSync(new URL('flink-cases.ndjson', import.meta.url), 'utf8');
  return text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as PublishedCase);
}

type AnyPattern = Pattern<PublishedEvent, string>;
type Test = Condition<PublishedEvent>;

/** The pattern that a case's instructions build. */
export function patternOf(instructions: readonly Instruction[]): AnyPattern {
  let built: AnyPattern | undefined;
  for (const instruction of withConditions(instructions)) {
    built = apply(built, instruction);
  }
  if (built === undefined) throw new Error('a case has no pattern');
  return built;
}

/** A step with what its `where`s say, which may stand anywhere behind it. */
type Built = { method: string; argument: string; where: Test[]; group: readonly Instruction[] };

function withConditions(instructions: readonly Instruction[]): Built[] {
  const built: Built[] = [];
  let step: Built | undefined;
  for (const instruction of instructions) {
    const [method = '', group] =
      typeof instruction === 'string' ? [instruction.split(' ', 1)[0], []] : instruction;
    const argument = typeof instruction === 'string' ? instruction.slice(method.length + 1) : '';
    if (method === 'where') step?.where.push(conditionOf(argument));
    else {
      const next = { method, argument, where: [], group: group ?? [] };
      if (/^(begin|next|followedBy|notNext|notFollowedBy)/.test(method)) step = next;
      built.push(next);
    }
  }
  return built;
}

const GROUPS = { next: 'strict', followedBy: 'relaxed', followedByAny: 'any' } as const;

function apply(before: AnyPattern | undefined, { method, argument, where, group }: Built) {
  const all: Test | undefined = where.length === 0 ? undefined : allOf(where);
  const start = pattern<PublishedEvent>();
  if (method === 'begin')
    return group.length > 0 ? start.beginGroup(patternOf(group)) : start.begin(argument, all);
  if (before === undefined) throw new Error(`${method} without a step before it`);
  if (group.length > 0)
    return before.group(GROUPS[method as keyof typeof GROUPS], patternOf(group));
  const [one = '', two] = argument.split(' ');
  switch (method) {
    case 'next':
    case 'followedBy':
    case 'followedByAny':
    case 'notNext':
    case 'notFollowedBy':
      return before[method](argument, all);
    case 'times':
      return before.times(Number(one), two === undefined ? Number(one) : Number(two));
    case 'timesOrMore':
      return before.times(Number(one), Number.POSITIVE_INFINITY);
    case 'oneOrMore':
    case 'optional':
    case 'greedy':
    case 'consecutive':
    case 'allowCombinations':
      return before[method]();
    case 'until':
      return before.until(conditionOf(argument));
    case 'within':
    case 'withinPrevious':
      return before[method](Number(one));
    case 'skip':
      return skipping(before, argument);
    default:
      throw new Error(`no case has ${method} yet`);
  }
}

function skipping(before: AnyPattern, argument: string): AnyPattern {
  const [how = ''] = argument.split(' ', 1);
  const step = argument.slice(how.length + 1);
  switch (how) {
    case 'noSkip':
      return before.noSkip();
    case 'skipToNext':
      return before.skipToNext();
    case 'skipPastLastEvent':
      return before.skipPastLast();
    case 'skipToFirst':
      return before.skipToFirst(step);
    case 'skipToLast':
      return before.skipToLast(step);
    default:
      throw new Error(`no case skips by ${how} yet`);
  }
}

/** Asked with the partial match always: what only looks at the event has one parameter, and is asked less. */
function allOf(tests: readonly Test[]): Test {
  if (tests.every(({ length }) => length === 1)) {
    const plain = tests as readonly ((event: PublishedEvent) => boolean)[];
    return (event) => plain.every((test) => test(event));
  }
  return (event, match) => tests.every((test) => test(event, match));
}

function conditionOf(text: string): Test {
  if (text.includes('(')) {
    const tests = text.split('&').map(iterative);
    return (event, match) => tests.every((test) => test(event, match));
  }
  const tests = text.split('|').map(plain);
  return (event) => tests.some((test) => test(event));
}

function plain(text: string): (event: PublishedEvent) => boolean {
  if (text === 'true') return () => true;
  if (text === 'volume') return ({ volume }) => volume !== undefined;
  const [, field = '', operator = '', value = ''] = /^(\w+)([=~^>])(.*)$/.exec(text) ?? [];
  if (field === 'price') {
    return ({ price }) => (operator === '=' ? price === Number(value) : price > Number(value));
  }
  if (field === 'volume') return ({ volume = 0 }) => volume > Number(value);
  if (operator === '=') return ({ name }) => name === value;
  if (operator === '~') return ({ name }) => name.includes(value);
  if (operator === '^') return ({ name }) => name.startsWith(value);
  throw new Error(`no case has the condition ${text} yet`);
}

function iterative(
  text: string,
): (e: PublishedEvent, match: MatchSoFar<PublishedEvent>) => boolean {
  if (!text.includes('(')) return plain(text);
  const [, of = '', step = '', plus, operator = '', value = ''] =
    /^(?:price=)?(sum|count|first)\((\w+)\)(\+price)?(<=|>=|<|=)?(.*)$/.exec(text) ?? [];
  return (event, match) => {
    const events = match.events(step);
    if (of === 'first') return events[0]?.price === event.price;
    const sum = of === 'count' ? events.length : events.reduce((s, { price }) => s + price, 0);
    const total = plus === undefined ? sum : sum + event.price;
    switch (operator) {
      case '<':
        return total < Number(value);
      case '<=':
        return total <= Number(value);
      case '>=':
        return total >= Number(value);
      default:
        return total === Number(value);
    }
  };
}
