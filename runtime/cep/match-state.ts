import type { State } from './automaton.ts';

/**
 * What one key has matched so far. Everything in it is immutable, so that an epoch that is rolled back leaves it as it
 * was. Partial matches share their past: a match is a chain of nodes from its last event to its first, and where it
 * branches, both branches go on from the same node. (SASE+ and Flink keep one graph with a version for each path through
 * it; with one node for each taken event and partial match, the node itself tells the path.)
 */
export interface MatchState {
  /** In order of their first events. The one that has not begun is not among them: there is always one. */
  readonly partial: readonly PartialMatch[];
  /** Matched, but a partial match that began earlier may rule them out. In order of their first events. */
  readonly complete: readonly PartialMatch[];
  /** Number of the next event that is taken. */
  readonly nextEvent: number;
}

/** Where a partial match is, and what it took. */
export interface PartialMatch {
  readonly state: State;
  readonly last: MatchNode;
  /** Its first event. */
  readonly first: MatchedEvent;
}

/** An event, taken for a step. */
export interface MatchNode {
  /** The step, by its place in `Automaton.names`. */
  readonly step: number;
  readonly event: MatchedEvent;
  readonly before: MatchNode | undefined;
  /** Events up to it, itself included. */
  readonly length: number;
}

export interface MatchedEvent {
  /** Their order within the key. */
  readonly number: number;
  /** Event time, ms. */
  readonly timestamp: number;
  readonly value: unknown;
}

export const NOTHING_MATCHED: MatchState = { partial: [], complete: [], nextEvent: 0 };

/** The events of a match by step, each in order. */
export function eventsByStep(last: MatchNode, steps: number): MatchedEvent[][] {
  const events: MatchedEvent[][] = Array.from({ length: steps }, () => []);
  for (let node: MatchNode | undefined = last; node !== undefined; node = node.before)
    events[node.step]?.push(node.event);
  for (const taken of events) taken.reverse();
  return events;
}
