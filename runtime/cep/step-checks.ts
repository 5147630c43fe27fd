import { both, type Check, not } from './automaton.ts';
import type { Condition, PatternStep } from './pattern.ts';

export type Step = PatternStep<unknown>;

/** The steps of a pattern or of a group, and what surrounds the group. */
export interface Scope {
  readonly steps: readonly Step[];
  readonly group: Step | undefined;
  /** The step behind the group. */
  readonly behind: Step | undefined;
}

/** What a step’s events are taken and left out by. */
export interface Checks {
  readonly take: Check | undefined;
  /** Undefined: the event before and this one directly follow each other. */
  readonly ignore: Check | undefined | 'strict';
}

/** What the steps of one pattern take and leave out, as checks on the edges of its states. */
export class StepChecks {
  /** By the index that a check asks for. */
  readonly conditions: Condition<unknown>[] = [];
  readonly #checks = new Map<Condition<unknown>, Check>();
  /** Groups whose second and later rounds are being made. */
  readonly #laterRound = new Set<Step>();

  /** Says which round of a group’s states are being made, since its first step follows another one in each. */
  round(step: Step, round: 'first' | 'later'): void {
    if (step.group === undefined) return;
    if (round === 'first') this.#laterRound.delete(step);
    else this.#laterRound.add(step);
  }

  /** Whether a step may be left out where its states are being made. */
  isOptional(scope: Scope, index: number, step: Step): boolean {
    const { group } = scope;
    if (group === undefined || !isHead(scope, index)) return step.optional;
    return !this.#laterRound.has(group) && group.optional;
  }

  /** What a step takes, and no group that has come to its `until` takes anything. */
  takes(scope: Scope, step: Step): Check | undefined {
    const where = step.where === undefined ? undefined : this.of(step.where);
    return both(this.untilOf(scope), where);
  }

  /** That the group around has not come to its end. */
  untilOf({ group }: Scope): Check | undefined {
    return group?.until === undefined ? undefined : not(this.of(group.until));
  }

  /** What comes before a step and is left out. */
  leavesOut(scope: Scope, index: number, step: Step): Check | undefined | 'strict' {
    const { group } = scope;
    let how = step.contiguity;
    if (group !== undefined && isHead(scope, index))
      how = this.#laterRound.has(group) ? group.inner : group.contiguity;
    return this.#ignores(scope, step, how);
  }

  /** Between the events of a step that takes several. */
  inner(scope: Scope, index: number, step: Step): Checks {
    const { group } = scope;
    const how = group !== undefined && isHead(scope, index) ? group.inner : step.inner;
    const until = step.until === undefined ? undefined : not(this.of(step.until));
    const ignore = this.#ignores(scope, step, how);
    return {
      take: both(until, this.takes(scope, step)),
      ignore: ignore === 'strict' ? ignore : both(until, ignore),
    };
  }

  #ignores(scope: Scope, { where }: Step, how: string): Check | undefined | 'strict' {
    if (how === 'strict') return 'strict';
    const until = this.untilOf(scope);
    if (how === 'any') return until;
    return both(until, not(where === undefined ? undefined : this.of(where)));
  }

  /** The check of a condition, which is evaluated once an event, however many edges ask. */
  of(condition: Condition<unknown>): Check {
    let check = this.#checks.get(condition);
    if (check === undefined) {
      const index = this.conditions.push(condition) - 1;
      check = (look) => look.holds(index);
      this.#checks.set(condition, check);
    }
    return check;
  }
}

/** How long after the event before it a step’s may come, ms; 0 when that is not said. */
export function timeOf({ withinPreviousMs = 0 }: Step): number {
  return withinPreviousMs;
}

/** Whether a step is the first of a group: then what is said of the group holds for it. */
export function isHead({ group }: Scope, index: number): boolean {
  return group !== undefined && index === 0;
}

/** The step behind one, be it behind its group. */
export function following({ steps, behind }: Scope, index: number): Step | undefined {
  return steps[index + 1] ?? behind;
}
