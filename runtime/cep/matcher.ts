import { type Automaton, type Edge, Look, type State } from './automaton.ts';
import { compile } from './compile.ts';
import {
  eventsByStep,
  type MatchedEvent,
  type MatchNode,
  type MatchState,
  type PartialMatch,
} from './match-state.ts';
import type { AnyPattern, MatchSoFar } from './pattern.ts';
import { type Ruling, rulingOf } from './skip.ts';

/** What one key may hold, and what a partial match costs. */
export interface MatchLimits {
  /** Partial matches of a key at once. */
  readonly partialMatches: number;
  /** Events that the partial matches of a key hold together, one that several hold counted for each. */
  readonly events: number;
}

/** A match, a partial match whose time is over, or one that was given up. */
export interface Found {
  readonly last: MatchNode;
  /** Event time, ms: of the last event, or when its time was over. */
  readonly at: number;
}

/** What an event, or time, made of a key’s partial matches. */
export interface Step {
  readonly state: MatchState;
  readonly matches: readonly Found[];
  readonly timedOut: readonly Found[];
  /** Given up because the key was at its limits: the earliest first. */
  readonly abandoned: readonly Found[];
}

interface Draft {
  partial: PartialMatch[];
  complete: PartialMatch[];
  nextEvent: number;
  readonly matches: Found[];
  readonly timedOut: Found[];
  readonly abandoned: Found[];
}

/**
 * Finds matches of one pattern in the events of one key: a pure function of state and event, without I/O or clock. What
 * is found depends on the order of events alone. Events have to come in order of event time, and time is advanced to
 * each before it.
 */
export class Matcher {
  readonly names: readonly string[];
  /** Whether a step takes events, or must not happen; by its place in `names`. */
  readonly takes: readonly boolean[];
  readonly #automaton: Automaton;
  readonly #ruling: Ruling | undefined;
  readonly #limits: MatchLimits;
  readonly #look: Look;
  readonly #hasTime: boolean;

  /** @throws ReachflowError `TOPOLOGY_INVALID`. */
  constructor(pattern: AnyPattern, limits: MatchLimits) {
    this.#automaton = compile(pattern);
    const { states, names, takes, withinMs, conditions } = this.#automaton;
    this.names = names;
    this.takes = takes;
    this.#ruling = rulingOf(pattern.skip, names);
    this.#limits = limits;
    this.#look = new Look(conditions);
    this.#hasTime =
      Number.isFinite(withinMs) || states.some((state) => Number.isFinite(state.withinPreviousMs));
  }

  get states(): readonly State[] {
    return this.#automaton.states;
  }

  /** When the first partial match of a key is over, ms; Infinity for never. */
  deadline({ partial }: MatchState): number {
    if (!this.#hasTime) return Number.POSITIVE_INFINITY;
    let earliest = Number.POSITIVE_INFINITY;
    for (const match of partial) earliest = Math.min(earliest, this.#deadlineOf(match));
    return earliest;
  }

  /** Event time has come to `toMs`: ends partial matches whose time is over by then, in order of their times. */
  advance(state: MatchState, toMs: number): Step {
    const draft = draftOf(state);
    // One deadline at a time: what the end of one lets through may rule out another, however far time jumps at once.
    for (let at = this.deadline(draft); at <= toMs; at = this.deadline(draft)) {
      if (at === Number.POSITIVE_INFINITY) break;
      this.#expire(draft, at);
      this.#settle(draft);
    }
    return settled(draft, state);
  }

  /** The next event of the key. */
  accept(state: MatchState, value: unknown, timestamp: number): Step {
    const event: MatchedEvent = { number: state.nextEvent, timestamp, value };
    const draft: Draft = { ...draftOf(state), partial: [] };
    this.#look.event(value);
    for (const match of state.partial) this.#offer(draft, event, match);
    this.#offer(draft, event, undefined);
    if (draft.partial.some(({ last }) => last.event === event) || draft.complete.length > 0)
      draft.nextEvent += 1;
    this.#settle(draft);
    this.#limit(draft, timestamp);
    return settled(draft, state);
  }

  #deadlineOf({ state, first, last }: PartialMatch): number {
    return Math.min(
      first.timestamp + this.#automaton.withinMs,
      last.event.timestamp + state.withinPreviousMs,
    );
  }

  #expire(draft: Draft, at: number): void {
    draft.partial = draft.partial.filter((match) => {
      if (this.#deadlineOf(match) !== at) return true;
      const found = { last: match.last, at };
      const isMatch = this.#automaton.matchedByTime.has(match.state);
      (isMatch ? draft.matches : draft.timedOut).push(found);
      return false;
    });
  }

  /** @param match undefined: the one that has not begun. */
  #offer(draft: Draft, event: MatchedEvent, match: PartialMatch | undefined): void {
    this.#look.from(this.#soFar(event, match));
    const next: PartialMatch[] = [];
    const complete: PartialMatch[] = [];
    let stopped = false;
    for (const { edge, from } of this.#edges(match?.state ?? this.#automaton.start)) {
      if (edge.action === 'ignore') {
        if (match !== undefined) place(edge.to, match.last, match.first);
        continue;
      }
      const before = match?.last;
      const length = (before?.length ?? 0) + 1;
      const last: MatchNode = { step: from.step, event, before, length };
      const first = match?.first ?? event;
      place(edge.to, last, first);
      const end = this.#finalAfter(edge.to);
      if (end !== undefined) place(end, last, first);
    }
    // What must not come is not taken for the next step either, be that the last one.
    if (stopped) return;
    for (const found of complete) this.#complete(draft, found);
    draft.partial.push(...next);

    function place(state: State, last: MatchNode, first: MatchedEvent): void {
      if (state.kind === 'stop') stopped = true;
      else (state.kind === 'final' ? complete : next).push({ state, last, first });
    }
  }

  /** Edges that take or leave out the event, behind all that proceed. */
  #edges(state: State): readonly { readonly edge: Edge; readonly from: State }[] {
    const found: { edge: Edge; from: State }[] = [];
    const open = [state];
    for (let from = open.pop(); from !== undefined; from = open.pop()) {
      for (const edge of from.edges) {
        if (edge.check !== undefined && !edge.check(this.#look)) continue;
        if (edge.action === 'proceed') open.push(edge.to);
        else found.push({ edge, from });
      }
    }
    return found;
  }

  /** The final state, if what is left of the pattern may be missing. */
  #finalAfter(state: State): State | undefined {
    const open = [state];
    for (let from = open.pop(); from !== undefined; from = open.pop()) {
      for (const { action, to, check } of from.edges) {
        if (action !== 'proceed' || (check !== undefined && !check(this.#look))) continue;
        if (to.kind === 'final') return to;
        open.push(to);
      }
    }
    return undefined;
  }

  #soFar(event: MatchedEvent, match: PartialMatch | undefined): MatchSoFar<unknown> {
    const { names } = this;
    let taken: MatchedEvent[][] | undefined;
    return {
      timestamp: event.timestamp,
      events: (step) => {
        if (match === undefined) return [];
        taken ??= eventsByStep(match.last, names.length);
        return taken[names.indexOf(step)]?.map(({ value }) => value) ?? [];
      },
    };
  }

  #complete(draft: Draft, match: PartialMatch): void {
    if (this.#ruling === undefined) {
      draft.matches.push({ last: match.last, at: match.last.event.timestamp });
      return;
    }
    // Behind those that began with the same event.
    const behind = draft.complete.findIndex(({ first }) => first.number > match.first.number);
    draft.complete.splice(behind === -1 ? draft.complete.length : behind, 0, match);
  }

  /** Lets matches go that no earlier partial match can rule out any more, and rules out what they do. */
  #settle(draft: Draft): void {
    for (let first = draft.complete[0]; first !== undefined; first = draft.complete[0]) {
      const earliest = draft.partial[0]?.first.number ?? Number.POSITIVE_INFINITY;
      if (first.first.number > earliest) return;
      draft.complete.shift();
      draft.matches.push({ last: first.last, at: first.last.event.timestamp });
      const isRuledOut = this.#ruling?.(first);
      if (isRuledOut === undefined) continue;
      draft.partial = draft.partial.filter((match) => !isRuledOut(match));
      draft.complete = draft.complete.filter((match) => !isRuledOut(match));
    }
  }

  /** Gives up the earliest partial matches of a key that has too many: the newer ones can still be whole. */
  #limit(draft: Draft, at: number): void {
    const { partialMatches, events } = this.#limits;
    let count = draft.partial.length + draft.complete.length;
    let held = 0;
    for (const { last } of draft.partial) held += last.length;
    for (const { last } of draft.complete) held += last.length;
    while (draft.partial.length > 0 && (count > partialMatches || held > events)) {
      const abandoned = draft.partial.shift();
      if (abandoned === undefined) return;
      draft.abandoned.push({ last: abandoned.last, at });
      this.#settle(draft);
      count = draft.partial.length + draft.complete.length;
      held -= abandoned.last.length;
    }
  }
}

function draftOf(state: MatchState): Draft {
  return {
    partial: [...state.partial],
    complete: [...state.complete],
    nextEvent: state.nextEvent,
    matches: [],
    timedOut: [],
    abandoned: [],
  };
}

function settled({ partial, complete, nextEvent, ...found }: Draft, before: MatchState): Step {
  const same =
    nextEvent === before.nextEvent &&
    partial.length === before.partial.length &&
    complete.length === before.complete.length &&
    partial.every((match, index) => isSame(match, before.partial[index]));
  return { state: same ? before : { partial, complete, nextEvent }, ...found };
}

/** The same place with the same past: an event that is left out makes no change to be stored. */
function isSame(a: PartialMatch, b: PartialMatch | undefined): boolean {
  return a.state === b?.state && a.last === b.last;
}
