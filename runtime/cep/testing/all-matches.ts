/**
 * The matches of a pattern by its definition: every choice of events is tried. Exponential, and nothing like an
 * automaton: the reference that the automaton is checked against.
 */
export interface PlainStep {
  /** Letters that it takes. */
  readonly takes: readonly string[];
  readonly contiguity: string;
  /** At least, at most. */
  readonly times: readonly [number, number];
  readonly inner: string;
  readonly optional: boolean;
  readonly notNext: readonly string[] | undefined;
  readonly notFollowed: readonly string[] | undefined;
}

export interface TimedLetter {
  readonly letter: string;
  readonly at: number;
}

/** One event of a match: what it has to be, and how it follows the one before. */
interface Slot extends Pick<PlainStep, 'takes' | 'contiguity' | 'notNext' | 'notFollowed'> {
  /** Events of its step before it. */
  readonly round: number;
  /** Whether its step may end with it. */
  readonly enough: boolean;
}

/** Every sequence of slots that the steps allow, of at most as many as there are events. */
function sequences(steps: readonly PlainStep[], most: number): Slot[][] {
  let found: Slot[][] = [[]];
  for (const step of steps) {
    const longer: Slot[][] = step.optional ? [...found] : [];
    const [from, to] = step.times;
    for (let times = from; times <= Math.min(to, most); times += 1) {
      const again = { ...step, contiguity: step.inner, notNext: undefined, notFollowed: undefined };
      const slots = Array.from({ length: times }, (_, round) => ({
        ...(round === 0 ? step : again),
        round,
        enough: round + 1 >= from,
      }));
      for (const sequence of found) longer.push([...sequence, ...slots]);
    }
    found = longer;
  }
  return found.filter(({ length }) => length > 0 && length <= most);
}

function takes(letters: readonly string[] | undefined, event: TimedLetter | undefined): boolean {
  return event !== undefined && letters?.includes(event.letter) === true;
}

/** Whether the event at `place` can be taken for `slot`, behind the chosen ones. */
function canFollow(
  events: readonly TimedLetter[],
  slots: readonly Slot[],
  chosen: readonly number[],
  place: number,
): boolean {
  const slot = slots[chosen.length];
  if (slot === undefined || !takes(slot.takes, events[place])) return false;
  const before = chosen.at(-1);
  if (before === undefined) return true;
  const between = events.slice(before + 1, place);
  if (slot.contiguity === 'strict' && between.length > 0) return false;
  if (slot.contiguity === 'relaxed' && between.some((event) => takes(slot.takes, event)))
    return false;
  const first = firstOfStep(slots, chosen.length - 1);
  // Wherever the step before may end, the very next event must not be it.
  for (let at = first; at < chosen.length; at += 1) {
    const next = events[(chosen[at] ?? 0) + 1];
    if (slots[at]?.enough === true && takes(slot.notNext, next)) return false;
  }
  // From the first event of the step before on, none may come.
  const since = chosen[first] ?? 0;
  return !events.slice(since + 1, place + 1).some((event) => takes(slot.notFollowed, event));
}

/** The slot that the step of a slot begins with. */
function firstOfStep(slots: readonly Slot[], at: number): number {
  return at - (slots[at]?.round ?? 0);
}

function extend(
  events: readonly TimedLetter[],
  slots: readonly Slot[],
  chosen: readonly number[],
  found: (match: readonly number[]) => void,
): void {
  const slot = slots[chosen.length];
  if (slot === undefined) {
    found(chosen);
    return;
  }
  for (let place = (chosen.at(-1) ?? -1) + 1; place < events.length; place += 1) {
    if (canFollow(events, slots, chosen, place)) extend(events, slots, [...chosen, place], found);
  }
}

/**
 * All matches, each as the places of its events, sorted.
 * @param options.within from the first event to the last, less than this.
 * @param options.absent letters that must not come behind the match as long as its time lasts.
 */
export function allMatches(
  steps: readonly PlainStep[],
  events: readonly TimedLetter[],
  options: { readonly within: number | undefined; readonly absent: readonly string[] | undefined },
): string[] {
  const { within = Number.POSITIVE_INFINITY, absent } = options;
  const matches = new Set<string>();
  for (const slots of sequences(steps, events.length)) {
    extend(events, slots, [], (match) => {
      const end = (events[match[0] ?? 0]?.at ?? 0) + within;
      const last = match.at(-1) ?? 0;
      if ((events[last]?.at ?? 0) >= end) return;
      const since = match[firstOfStep(slots, match.length - 1)] ?? 0;
      const comes = events.some(
        ({ letter, at }, place) => place > since && at < end && absent?.includes(letter) === true,
      );
      if (!comes) matches.add(match.join());
    });
  }
  return [...matches].sort();
}
