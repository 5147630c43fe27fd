/** Trees side by side in flat arrays: nothing is allocated, nor followed by reference, while a contact is scored. */
export interface Forest {
  /** Node of each tree's root. */
  readonly roots: Int32Array;
  /** Which feature a node looks at; -1 in a leaf. */
  readonly feature: Int32Array;
  /** What the feature is compared with; in a leaf what it adds. */
  readonly value: Float32Array;
  /** The node for values below `value`. */
  readonly below: Int32Array;
  /** The node for the others. */
  readonly others: Int32Array;
  /** The node for a value that is missing, NaN. */
  readonly missing: Int32Array;
  /** Log odds before the first tree. */
  readonly base: number;
}

/**
 * Sum of the leaves that `features` come to, as log odds. In single precision, tree by tree, as XGBoost adds them up: the same
 * to the last bit but for its own vectorised sums.
 * @param features in single precision, as XGBoost compares them; NaN where one is missing.
 */
export function marginOf(forest: Forest, features: Float32Array): number {
  const { roots, feature, value, below, others, missing } = forest;
  let sum = forest.base;
  for (let tree = 0; tree < roots.length; tree += 1) {
    let node = roots[tree] ?? 0;
    for (let index = feature[node] ?? -1; index >= 0; index = feature[node] ?? -1) {
      const x = features[index] ?? Number.NaN;
      const bound = value[node] ?? 0;
      if (x < bound) node = below[node] ?? 0;
      else if (x >= bound) node = others[node] ?? 0;
      else node = missing[node] ?? 0;
    }
    sum = Math.fround(sum + (value[node] ?? 0));
  }
  return sum;
}

/** Probability of a margin, 0 to 1. */
export function logistic(margin: number): number {
  return 1 / (1 + Math.exp(-margin));
}
