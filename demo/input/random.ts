/** Seeded randomness: the same seed makes the same input, so a failed run can be looked at again. */
export interface Random {
  /** A number in [0, 1). */
  next(): number;
  /** An integer in [0, max). @param max at least 1. */
  int(max: number): number;
  /** True with the given probability, 0 to 1. */
  chance(probability: number): boolean;
  /** One of the items, each as likely. @throws Error when there are none. */
  pick<T>(items: readonly T[]): T;
  /** One of the choices, by weight. @throws Error when there are none. */
  weighted<T extends string>(weights: Readonly<Record<T, number>>): T;
}

/** Mulberry32 (Tommy Ettinger, public domain): 32 bits of state are plenty to choose words and ids. */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0;
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
  const int = (max: number): number => Math.floor(next() * max);
  return {
    next,
    int,
    chance: (probability) => next() < probability,
    pick<T>(items: readonly T[]): T {
      if (items.length === 0) throw new Error('nothing to pick from');
      return items[int(items.length)] as T;
    },
    weighted<T extends string>(weights: Readonly<Record<T, number>>): T {
      const choices = Object.entries(weights) as [T, number][];
      let left = next() * choices.reduce((sum, [, weight]) => sum + weight, 0);
      for (const [choice, weight] of choices) {
        left -= weight;
        if (left < 0) return choice;
      }
      const last = choices.at(-1);
      if (last === undefined) throw new Error('nothing to choose from');
      return last[0];
    },
  };
}
