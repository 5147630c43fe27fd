/** Numbers that a seed decides: a failing test is run again with `REACHFLOW_TEST_SEED=<the printed seed>`. */
export interface Random {
  readonly seed: number;
  /** 0 ≤ x < 1. */
  next(): number;
  /** A whole number, from `min` up to and including `max`. */
  int(min: number, max: number): number;
}

/** The seed of `REACHFLOW_TEST_SEED`, or one of its own. It is printed, with what it decides. */
export function randomFor(what: string): Random {
  const given = Number(process.env['REACHFLOW_TEST_SEED']);
  const seed = Number.isInteger(given) && given > 0 ? given : 1 + (Date.now() % 1_000_000);
  process.stderr.write(`${what}: REACHFLOW_TEST_SEED=${seed}\n`);
  return randomOf(seed);
}

/** Mulberry32: small, and good enough to choose moments and keys. */
export function randomOf(seed: number): Random {
  let state = seed >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
  return { seed, next, int: (min, max) => min + Math.floor(next() * (max - min + 1)) };
}
