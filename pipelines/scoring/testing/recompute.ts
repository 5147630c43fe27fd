import type { ContactScored } from '../../../schemas/types.ts';

/** Scores once more, the plain way: from the model's own JSON, node by node. What the pipeline is checked against. */

interface Tree {
  readonly left_children: readonly number[];
  readonly right_children: readonly number[];
  readonly split_indices: readonly number[];
  readonly split_conditions: readonly number[];
}

interface ModelFile {
  readonly learner: {
    readonly feature_names: readonly string[];
    readonly learner_model_param: { readonly base_score: string };
    readonly gradient_booster: { readonly model: { readonly trees: readonly Tree[] } };
  };
}

export type Features = Readonly<Record<string, number | boolean>>;

function leaf(tree: Tree, row: readonly number[], node = 0): number {
  const at = tree.split_conditions[node] ?? Number.NaN;
  const left = tree.left_children[node] ?? -1;
  if (left === -1) return at;
  const isBelow = (row[tree.split_indices[node] ?? 0] ?? 0) < at;
  return leaf(tree, row, isBelow ? left : tree.right_children[node]);
}

/** @param text a model file. */
export function recomputed(text: string, features: Features): number {
  const { learner } = JSON.parse(text) as ModelFile;
  const row = learner.feature_names.map((name) => Math.fround(Number(features[name])));
  const base = Number(learner.learner_model_param.base_score.replace(/[[\]]/g, ''));
  const trees = learner.gradient_booster.model.trees;
  const margin = trees.reduce((sum, tree) => sum + leaf(tree, row), Math.log(base / (1 - base)));
  return 1 / (1 + Math.exp(-margin));
}

/** The features that a score was made of. */
export function featuresOf(scored: ContactScored): Features {
  const { score, model, model_version, scored_at, version, contact_id, tenant_id, ...features } =
    scored;
  return features;
}
