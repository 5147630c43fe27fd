import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { featureNames } from './features.ts';
import { logistic, marginOf } from './forest.ts';
import { readXgboost } from './xgboost.ts';

const folder = join(import.meta.dirname, '..');
const lead = readFileSync(join(folder, 'model', 'lead.json'), 'utf8');

type Json = Record<string, unknown>;

/** The shipped model with one thing changed. */
function changed(change: (learner: Json, tree: Json) => void): string {
  const file = JSON.parse(lead) as { learner: Json };
  const { gradient_booster: booster } = file.learner as {
    gradient_booster: { model: { trees: Json[] } };
  };
  change(file.learner, booster.model.trees[3] ?? {});
  return JSON.stringify(file);
}

const list = (tree: Json, name: string) => tree[name] as unknown[];

describe('the evaluator', () => {
  it('gives 1,500 rows the scores that XGBoost gives them', () => {
    const [head = '', ...rows] = readFileSync(join(folder, 'testing', 'predictions.csv'), 'utf8')
      .trim()
      .split('\n');
    expect(head.split(',')).toEqual([...featureNames, 'score']);
    const { forest } = readXgboost(lead);
    const features = new Float32Array(featureNames.length);
    let worst = 0;
    const seen = new Set<string>();
    for (const row of rows) {
      const cells = row.split(',').map((cell) => (cell === 'nan' ? Number.NaN : Number(cell)));
      const expected = cells.pop() ?? Number.NaN;
      features.set(cells);
      worst = Math.max(worst, Math.abs(logistic(marginOf(forest, features)) - expected));
      seen.add(expected.toFixed(6));
    }
    expect(rows).toHaveLength(1_500);
    expect(seen.size).toBeGreaterThan(800);
    expect(worst).toBeLessThan(1e-6);
  });

  it('takes a model’s features by name, in whatever order it has them', () => {
    const swapped = changed((learner) => {
      learner['feature_names'] = [...featureNames].reverse();
    });
    const straight = Float32Array.from({ length: featureNames.length }, (_, i) => i + 1);
    const one = marginOf(readXgboost(lead).forest, straight);
    expect(marginOf(readXgboost(swapped).forest, straight.toReversed())).toBe(one);
    expect(marginOf(readXgboost(swapped).forest, straight)).not.toBe(one);
  });

  it('has the same scores of what is published of a file', () => {
    const { text } = readXgboost(lead);
    expect(text.length).toBeLessThan(lead.length * 0.75);
    expect(readXgboost(text).text).toBe(text);
  });
});

describe('a model file is refused that', () => {
  const cases: readonly (readonly [string, string, string])[] = [
    ['is no JSON', '{"learner":', 'it is no JSON'],
    ['is another JSON', '{"learner":{}}', 'no XGBoost model: learner.feature_names'],
    [
      'wants a feature that there is not',
      changed((learner) => {
        learner['feature_names'] = ['age', ...featureNames.slice(1)];
      }),
      'features there are not: age',
    ],
    [
      'names fewer features than it has',
      changed((learner) => {
        learner['feature_names'] = featureNames.slice(1);
      }),
      'names 9 features, but has 10',
    ],
    [
      'has no names',
      changed((learner) => {
        learner['feature_names'] = [];
      }),
      'names 0 features, but has 10',
    ],
    [
      'has another objective',
      changed((learner) => {
        learner['objective'] = { name: 'multi:softprob' };
      }),
      'objective is multi:softprob',
    ],
    [
      'is of another booster',
      changed((learner) => {
        learner['gradient_booster'] = { name: 'gblinear', model: { weights: [1] } };
      }),
      'gradient_booster.model.trees',
    ],
    [
      'has no trees',
      changed((learner) => {
        learner['gradient_booster'] = { name: 'gbtree', model: { trees: [] } };
      }),
      'has 0 trees',
    ],
    [
      'has a circle',
      changed((_, tree) => {
        list(tree, 'left_children')[1] = 1;
      }),
      'tree 3 has a node 1 whose child 1',
    ],
    [
      'leads nowhere',
      changed((_, tree) => {
        list(tree, 'right_children')[0] = 9_999;
      }),
      'whose child 9999',
    ],
    [
      'splits by a feature that it has not',
      changed((_, tree) => {
        list(tree, 'split_indices')[0] = 10;
      }),
      'splits by feature 10 of 10',
    ],
    [
      'splits by category',
      changed((_, tree) => {
        list(tree, 'split_type')[0] = 1;
      }),
      'splits by category',
    ],
    [
      'has lists that do not fit',
      changed((_, tree) => {
        list(tree, 'split_conditions').pop();
      }),
      'lists of different lengths',
    ],
    [
      'has a number that is none',
      changed((_, tree) => {
        list(tree, 'split_conditions')[0] = 1e300;
      }),
      'no single-precision number',
    ],
    [
      'has no base score',
      changed((learner) => {
        (learner['learner_model_param'] as Json)['base_score'] = '[]';
      }),
      'base_score is []',
    ],
  ];
  it.each(cases)('%s', (_name, text, why) => {
    expect(() => readXgboost(text)).toThrow(
      expect.objectContaining({ code: 'MODEL_INVALID', message: expect.stringContaining(why) }),
    );
  });
});
