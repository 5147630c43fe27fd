import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { featureNames } from '../model/features.ts';

const file = join(import.meta.dirname, '..', 'model', 'lead.json');

/** The model that is shipped, as XGBoost wrote it. */
export const leadModel = readFileSync(file, 'utf8');

/** A small model: `steps` trees, each adding a leaf of its own once its feature has come to a bound. */
export function smallModel(
  steps: readonly { readonly feature: string; readonly from: number; readonly adds: number }[],
  names: readonly string[] = featureNames,
): string {
  const trees = steps.map(({ feature, from, adds }) => ({
    left_children: [1, -1, -1],
    right_children: [2, -1, -1],
    split_indices: [names.indexOf(feature), 0, 0],
    split_conditions: [from, 0, adds],
    default_left: [1, 0, 0],
  }));
  return JSON.stringify({
    learner: {
      feature_names: names,
      learner_model_param: { base_score: '5E-1', num_feature: String(names.length) },
      objective: { name: 'binary:logistic' },
      gradient_booster: { name: 'gbtree', model: { trees } },
    },
  });
}
