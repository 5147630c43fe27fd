import type { PartialMatch } from './match-state.ts';
import type { SkipStrategy } from './pattern.ts';

/** Tells which others a match rules out; undefined where it rules out none. */
export type Ruling = (match: PartialMatch) => ((other: PartialMatch) => boolean) | undefined;

/**
 * The after-match skip strategies of Flink CEP.
 * @param names of steps, as the automaton has them.
 * @returns undefined for `none`.
 */
export function rulingOf(skip: SkipStrategy, names: readonly string[]): Ruling | undefined {
  switch (skip.kind) {
    case 'none':
      return undefined;
    case 'next':
      return (match) => (other) => other.first.number <= match.first.number;
    case 'past-last':
      return (match) => (other) => other.first.number <= match.last.event.number;
    default: {
      const step = names.indexOf(skip.step);
      const which = skip.kind;
      return (match) => {
        const to = eventOf(match, step, which);
        if (to === undefined) return undefined;
        // To skip to where the match begins would find it again, for ever: the others that begin there stay.
        return (other) => other.first.number < to;
      };
    }
  }
}

function eventOf(match: PartialMatch, step: number, which: 'first' | 'last'): number | undefined {
  let found: number | undefined;
  for (
    let node: PartialMatch['last'] | undefined = match.last;
    node !== undefined;
    node = node.before
  ) {
    if (node.step !== step) continue;
    found = node.event.number;
    if (which === 'last') return found;
  }
  return found;
}
