import {
  type Automaton,
  both,
  type Check,
  type EdgeAction,
  not,
  type State,
  type StateKind,
} from './automaton.ts';
import { type AnyPattern, invalidPattern, isNegative, type SkipStrategy } from './pattern.ts';
import {
  type Checks,
  following,
  isHead,
  type Scope,
  type Step,
  StepChecks,
  timeOf,
} from './step-checks.ts';

interface Single extends Checks {
  readonly sink: State;
  /** Where it goes when nothing is taken, if it may be left out. */
  readonly proceed: State;
  readonly optional: boolean;
  /** Whether it is the first event of its step: only then what must not come before the step matters. */
  readonly first: boolean;
}

/**
 * Compiles a pattern to an automaton, backwards from its end: each step becomes states that lead to those of the step
 * behind it. The construction is Flink CEP’s, so that matches are those that its published cases expect.
 * @throws ReachflowError `TOPOLOGY_INVALID`.
 */
export function compile({ steps, withinMs, skip }: AnyPattern): Automaton {
  // A condition sees events of its own pattern only: the type of its stream says so.
  return new Compiler(steps as readonly Step[], withinMs, skip).compile();
}

class Compiler {
  readonly #steps: readonly Step[];
  readonly #withinMs: number;
  readonly #skip: SkipStrategy;
  readonly #states: State[] = [];
  readonly #names: string[] = [];
  readonly #takesEvents: boolean[] = [];
  readonly #checks = new StepChecks();
  /** One a negative step: all that must not see it lead there. */
  readonly #stops = new Map<Step, State>();
  /** What a state was before it learnt that a greedy step is before it. */
  readonly #beforeGreedy = new Map<State, State>();

  constructor(steps: readonly Step[], withinMs: number, skip: SkipStrategy) {
    this.#steps = steps;
    this.#withinMs = withinMs;
    this.#skip = skip;
  }

  compile(): Automaton {
    const steps = this.#steps;
    this.#nameSteps(steps);
    this.#requireSense();
    const scope = { steps, group: undefined, behind: undefined };
    const start = this.#chain(scope, this.#state(-1, 'final'));
    start.kind = 'start';
    return {
      states: this.#states,
      start,
      names: this.#names,
      takes: this.#takesEvents,
      withinMs: this.#withinMs,
      matchedByTime: new Set(this.#states.filter(goesOnToPending)),
      conditions: this.#checks.conditions,
    };
  }

  #nameSteps(steps: readonly Step[]): void {
    for (const step of steps) {
      const { name, group } = step;
      if (group !== undefined) this.#nameSteps(group);
      else if (this.#names.includes(name)) throw invalidPattern(`two steps are named ${name}`);
      else {
        this.#names.push(name);
        this.#takesEvents.push(!isNegative(step));
      }
    }
  }

  #requireSense(): void {
    const steps = this.#steps;
    const withinMs = this.#withinMs;
    const skip = this.#skip;
    const last = steps.at(-1);
    if (steps[0] === undefined || isNegative(steps[0]))
      throw invalidPattern('a pattern begins with a step that takes an event');
    if (last?.contiguity === 'not-followed' && timeOf(last) === 0 && !Number.isFinite(withinMs))
      throw invalidPattern(
        `nothing says until when ${last.name} must not follow`,
        'Give the pattern a `within`.',
      );
    if ('step' in skip && !this.#names.includes(skip.step))
      throw invalidPattern(`it skips to ${skip.step}, which is no step of the pattern`);
    if (steps.some(({ withinPreviousMs = 0 }) => withinPreviousMs > withinMs))
      throw invalidPattern('the time since the event before is longer than that of the pattern');
  }

  #chain(scope: Scope, sink: State): State {
    let next = sink;
    for (let index = scope.steps.length - 1; index >= 0; index -= 1) {
      const step = scope.steps[index];
      if (step === undefined) continue;
      if (step.contiguity === 'not-followed') next = this.#absent(scope, step, next);
      else if (step.contiguity === 'not-next') next = this.#notNext(scope, step, next);
      else next = this.#taken(scope, index, step, next);
    }
    return next;
  }

  /** As the last step it is waited for; before others it is a way out of the states around it. */
  #absent(scope: Scope, step: Step, next: State): State {
    const hasTime = timeOf(step) > 0 || Number.isFinite(this.#withinMs);
    if (next.kind !== 'final' || !hasTime) return next;
    const pending = this.#state(this.#names.indexOf(step.name), 'pending', timeOf(step));
    const unwanted = this.#checks.takes(scope, step);
    connect(pending, 'proceed', this.#stop(step, unwanted), unwanted);
    connect(pending, 'ignore', pending, not(unwanted));
    return pending;
  }

  #notNext(scope: Scope, step: Step, next: State): State {
    const state = this.#state(this.#names.indexOf(step.name), 'normal', timeOf(step));
    const unwanted = this.#checks.takes(scope, step);
    // Not by `proceed`: the event that is not there has to be another one.
    connect(state, next.kind === 'final' ? 'ignore' : 'proceed', next, not(unwanted));
    connect(state, 'proceed', this.#stop(step, unwanted), unwanted);
    return state;
  }

  #taken(scope: Scope, index: number, step: Step, next: State): State {
    const state = this.#repeated(scope, index, step, next);
    this.#addStops(scope, index, state);
    return state;
  }

  #repeated(scope: Scope, index: number, step: Step, next: State): State {
    const { times } = step;
    if (times === undefined) {
      const optional = this.#checks.isOptional(scope, index, step);
      return this.#single(scope, index, step, {
        sink: next,
        proceed: next,
        take: this.#checks.takes(scope, step),
        ignore: this.#checks.leavesOut(scope, index, step),
        optional,
        first: true,
      });
    }
    if (times.to !== Number.POSITIVE_INFINITY) return this.#rounds(scope, index, step, next, next);
    this.#checks.round(step, 'later');
    // Once the loop has begun, what must not come before it no longer matters.
    const loop = this.#loop(scope, index, step, this.#withoutEarlierStops(scope, index, next));
    this.#checks.round(step, 'first');
    return this.#rounds(scope, index, step, loop, next);
  }

  /** `from` to `to` events, or the `from` before a loop, each with a state of its own. */
  #rounds(scope: Scope, index: number, step: Step, sink: State, proceed: State): State {
    const { from, to } = step.times ?? { from: 1, to: 1 };
    const most = Number.isFinite(to) ? to : from;
    this.#checks.round(step, 'later');
    const inner = this.#checks.inner(scope, index, step);
    if (step.greedy && from !== most) this.#yieldTo(step, proceed, inner.take);
    let next = sink;
    for (let round = from; round < most; round += 1) {
      next = this.#single(scope, index, step, {
        ...inner,
        sink: next,
        proceed,
        optional: true,
        first: false,
      });
      this.#addStopOfNext(scope, index, next);
    }
    for (let round = 1; round < from; round += 1) {
      next = this.#single(scope, index, step, {
        ...inner,
        sink: next,
        proceed,
        optional: false,
        first: false,
      });
      this.#addStopOfNext(scope, index, next);
    }
    this.#checks.round(step, 'first');
    const { take } = inner;
    const ignore = this.#checks.leavesOut(scope, index, step);
    const { optional } = step;
    // The time between its events says nothing of how long after the step before it begins.
    const first = step.group === undefined ? { ...step, withinPreviousMs: undefined } : step;
    return this.#single(scope, index, first, {
      sink: next,
      proceed,
      take,
      ignore,
      optional,
      first: true,
    });
  }

  /** A greedy step goes first: what is behind it gets only what the step does not take. */
  #yieldTo(step: Step, next: State, take: Check | undefined): void {
    if (step.until !== undefined) this.#beforeGreedy.set(next, this.#copy(next));
    for (const edge of next.edges) edge.check = both(edge.check, not(take));
  }

  #single(scope: Scope, index: number, step: Step, single: Single): State {
    if (step.group !== undefined) return this.#group(scope, index, step, step.group, single);
    const { sink, take, ignore, optional } = single;
    const state = this.#stateOf(step);
    // Once it is taken, what must not come before an optional step no longer matters.
    const taken = this.#withoutEarlierStops(scope, index, sink);
    connect(state, 'take', taken, take);
    // The first of a group proceeds to what is behind the group: `#group` says so.
    if (optional && !isHead(scope, index)) this.#connectPast(scope, step, state, single.proceed);
    if (ignore === 'strict') return state;
    if (!optional) {
      connect(state, 'ignore', state, ignore);
      return state;
    }
    // Behind an event that was left out, leaving out the step is no longer another way.
    const waiting = this.#stateOf(step);
    connect(waiting, 'take', taken, take);
    connect(waiting, 'ignore', waiting, ignore);
    if (single.first) this.#addStops(scope, index, waiting);
    connect(state, 'ignore', waiting, ignore);
    return state;
  }

  #connectPast(scope: Scope, step: Step, state: State, proceed: State): void {
    const always = this.#checks.untilOf(scope);
    if (!step.greedy || step.until === undefined) {
      connect(state, 'proceed', proceed, always);
      return;
    }
    const until = this.#checks.of(step.until);
    const before = this.#beforeGreedy.get(proceed) ?? proceed;
    connect(state, 'proceed', before, both(always, until));
    connect(state, 'proceed', proceed, both(always, not(until)));
  }

  #group(scope: Scope, index: number, step: Step, steps: readonly Step[], single: Single): State {
    const inside = { steps, group: step, behind: following(scope, index) };
    const first = this.#chain(inside, single.sink);
    if (single.optional) connect(first, 'proceed', single.proceed, this.#checks.untilOf(scope));
    return first;
  }

  #loop(scope: Scope, index: number, step: Step, sink: State): State {
    if (step.group !== undefined) {
      const inside = { steps: step.group, group: step, behind: following(scope, index) };
      const again = this.#state(-1, 'normal');
      const first = this.#chain(inside, again);
      const always = this.#checks.untilOf(scope);
      connect(first, 'proceed', sink, always);
      connect(again, 'proceed', first, always);
      return again;
    }
    const { take, ignore } = this.#checks.inner(scope, index, step);
    const state = this.#stateOf(step);
    this.#leaveLoop(scope, step, state, sink);
    connect(state, 'take', state, take);
    this.#addStopOfNext(scope, index, state);
    if (ignore === 'strict') return state;
    const waiting = this.#stateOf(step);
    connect(waiting, 'take', state, take);
    connect(waiting, 'ignore', waiting, ignore);
    connect(state, 'ignore', waiting, ignore);
    this.#addStopOfNext(scope, index, waiting);
    return state;
  }

  #leaveLoop(scope: Scope, step: Step, state: State, sink: State): void {
    const always = this.#checks.untilOf(scope);
    if (!step.greedy) {
      connect(state, 'proceed', sink, always);
      return;
    }
    const until = step.until === undefined ? undefined : this.#checks.of(step.until);
    if (until !== undefined) {
      const before = this.#copy(sink);
      connect(state, 'proceed', before, both(always, until));
      this.#beforeGreedy.set(sink, before);
    }
    connect(state, 'proceed', sink, until === undefined ? always : both(always, not(until)));
    for (const edge of sink.edges)
      edge.check = both(edge.check, not(this.#checks.takes(scope, step)));
  }

  /** Negative steps that are still watched at a step: those before it, as far as what is between may be missing. */
  #negativesBefore({ steps }: Scope, index: number): Step[] {
    const found: Step[] = [];
    for (let at = index - 1; at >= 0; at -= 1) {
      const step = steps[at];
      if (step === undefined || !(step.optional || step.contiguity === 'not-followed')) break;
      if (step.contiguity === 'not-followed') found.push(step);
    }
    return found;
  }

  #addStops(scope: Scope, index: number, state: State): void {
    for (const step of this.#negativesBefore(scope, index)) {
      const unwanted = this.#checks.takes(scope, step);
      connect(state, 'proceed', this.#stop(step, unwanted), unwanted);
    }
  }

  #addStopOfNext(scope: Scope, index: number, state: State): void {
    const next = following(scope, index);
    if (next?.contiguity !== 'not-followed') return;
    const unwanted = this.#checks.takes(scope, next);
    // Also where it waits behind an event that was left out.
    const waiting = state.edges.find(({ action, to }) => action === 'ignore' && to !== state)?.to;
    for (const from of waiting === undefined ? [state] : [state, waiting])
      connect(from, 'proceed', this.#stop(next, unwanted), unwanted);
  }

  #stop(step: Step, unwanted: Check | undefined): State {
    let stop = this.#stops.get(step);
    if (stop === undefined) {
      stop = this.#state(this.#names.indexOf(step.name), 'stop');
      connect(stop, 'take', stop, unwanted);
      this.#stops.set(step, stop);
    }
    return stop;
  }

  /** The same states without the way out to the negative steps before an optional one. */
  #withoutEarlierStops(scope: Scope, index: number, state: State): State {
    const stops = this.#negativesBefore(scope, index).map((step) => this.#stops.get(step));
    if (stops.length === 0 || scope.steps[index]?.optional !== true) return state;
    const copy = this.#state(state.step, state.kind, state.withinPreviousMs);
    for (const { action, to, check } of state.edges) {
      if (action !== 'proceed') connect(copy, action, to === state ? copy : to, check);
      else if (to.kind !== 'stop')
        connect(copy, action, this.#withoutEarlierStops(scope, index, to), check);
      else if (!stops.includes(to)) connect(copy, action, to, check);
    }
    return copy;
  }

  #copy(state: State): State {
    const copy = this.#state(state.step, state.kind, state.withinPreviousMs);
    for (const { action, to, check } of state.edges)
      connect(copy, action, to === state ? copy : to, check);
    return copy;
  }

  #stateOf(step: Step): State {
    return this.#state(this.#names.indexOf(step.name), 'normal', timeOf(step));
  }

  #state(step: number, kind: StateKind, withinPreviousMs = 0): State {
    const id = this.#states.length;
    const state: State = {
      id,
      step,
      kind,
      edges: [],
      withinPreviousMs: withinPreviousMs === 0 ? Number.POSITIVE_INFINITY : withinPreviousMs,
    };
    this.#states.push(state);
    return state;
  }
}

function connect(from: State, action: EdgeAction, to: State, check: Check | undefined): void {
  from.edges.push({ action, to, check });
}

/** A loop, or a step that may be left out, before the last step that must not follow: nothing more has to come. */
function goesOnToPending(state: State): boolean {
  const open = [state];
  const seen = new Set(open);
  for (let from = open.pop(); from !== undefined; from = open.pop()) {
    if (from.kind === 'pending') return true;
    for (const { action, to } of from.edges) {
      if (action !== 'proceed' || seen.has(to)) continue;
      seen.add(to);
      open.push(to);
    }
  }
  return false;
}
