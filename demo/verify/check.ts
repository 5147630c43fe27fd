/** One thing that has to add up, and whether it does. */
export interface Check {
  readonly title: string;
  readonly ok: boolean;
  /** The figures behind it, one line. */
  readonly numbers: string;
  /** Some of what differs, for people; bounded. */
  readonly samples: readonly string[];
}

/** Differences that a check shows at most. */
export const MAX_SAMPLES = 5;

/** 12345 → 12,345. */
export function figure(count: number): string {
  return count.toLocaleString('en-US');
}

/** How what is there differs from what should be. */
export interface Difference {
  readonly expected: number;
  readonly actual: number;
  readonly missing: number;
  readonly unexpected: number;
  readonly different: number;
  readonly samples: readonly string[];
}

export interface CompareOptions<E, A> {
  /** What is wrong with a pair of one key; undefined when they agree. */
  readonly differs?: (expected: E, actual: A, key: string) => string | undefined;
  /** Entries beyond the expected ones that may be there, e.g. those older than the topic's retention. */
  readonly mayExtra?: (actual: A, key: string) => boolean;
}

/** Compares two maps key by key. */
export function compareMaps<E, A>(
  expected: ReadonlyMap<string, E>,
  actual: ReadonlyMap<string, A>,
  options: CompareOptions<E, A> = {},
): Difference {
  const { differs, mayExtra } = options;
  let missing = 0;
  let unexpected = 0;
  let different = 0;
  const samples: string[] = [];
  const sample = (text: string) => {
    if (samples.length < MAX_SAMPLES) samples.push(text);
  };
  for (const [key, value] of expected) {
    const found = actual.get(key);
    if (found === undefined) {
      missing += 1;
      sample(`${key} is missing`);
      continue;
    }
    const why = differs?.(value, found, key);
    if (why === undefined) continue;
    different += 1;
    sample(`${key}: ${why}`);
  }
  for (const [key, value] of actual) {
    if (expected.has(key) || mayExtra?.(value, key) === true) continue;
    unexpected += 1;
    sample(`${key} should not be there`);
  }
  return {
    expected: expected.size,
    actual: actual.size,
    missing,
    unexpected,
    different,
    samples,
  };
}

/** A check that passes when nothing differs. */
export function differenceCheck(title: string, difference: Difference): Check {
  const { expected, actual, missing, unexpected, different, samples } = difference;
  const ok = missing + unexpected + different === 0;
  const faults = [
    ...(missing > 0 ? [`${figure(missing)} missing`] : []),
    ...(unexpected > 0 ? [`${figure(unexpected)} unexpected`] : []),
    ...(different > 0 ? [`${figure(different)} different`] : []),
  ];
  const counts = `${figure(expected)} expected, ${figure(actual)} there`;
  return { title, ok, numbers: [counts, ...faults].join(', '), samples };
}
