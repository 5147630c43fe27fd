import { z } from 'zod';
import { ReachflowError } from '../../../runtime/errors.ts';
import { featureIndex, isFeatureName } from './features.ts';
import type { Forest } from './forest.ts';

/**
 * The subset of XGBoost's JSON (`save_model('x.json')`, 1.7 to 3.x) that is understood: booster `gbtree`, objective
 * `binary:logistic` or `reg:logistic`, one target, numerical splits, features by name.
 */

export const MAX_TREES = 2_000;
export const MAX_NODES = 100_000;
/** As it is published, without what only training needs. */
export const MAX_MODEL_BYTES = 512 * 1_024;
/** Depth of a tree: a score visits at most so many nodes of each. */
const MAX_DEPTH = 64;

const ints = z.array(z.int());
const flags = z.array(z.union([z.boolean(), z.literal([0, 1])]));

const treeSchema = z.object({
  left_children: ints,
  right_children: ints,
  split_indices: ints,
  split_conditions: z.array(z.number()),
  default_left: flags,
  split_type: ints.optional(),
  categories_nodes: ints.optional(),
});

const fileSchema = z.object({
  learner: z.object({
    feature_names: z.array(z.string()),
    learner_model_param: z.object({
      base_score: z.string(),
      num_class: z.string().optional(),
      num_feature: z.string(),
      num_target: z.string().optional(),
    }),
    objective: z.object({ name: z.string() }),
    gradient_booster: z.object({
      name: z.string(),
      model: z.object({ trees: z.array(treeSchema) }).optional(),
    }),
  }),
});

type Tree = z.infer<typeof treeSchema>;

/** A model file, read: what is evaluated, and what of it is published. */
export interface XgboostModel {
  readonly forest: Forest;
  /** Names, in the model's order. */
  readonly features: readonly string[];
  readonly nodes: number;
  /** JSON of what evaluation needs, and no more. */
  readonly text: string;
}

/** @throws ReachflowError `MODEL_INVALID` (domain user), with what is wrong with it. */
export function readXgboost(text: string): XgboostModel {
  const parsed = fileSchema.safeParse(parseJson(text));
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    const at = issue?.path.join('.') ?? '';
    throw modelInvalid(`it is no XGBoost model: ${at === '' ? 'the file' : at}: ${issue?.message}`);
  }
  const { learner } = parsed.data;
  const { trees, base } = checkLearner(learner);
  const features = learner.feature_names;
  const columns = features.map((name) => (isFeatureName(name) ? featureIndex[name] : -1));
  const nodes = trees.reduce((sum, tree) => sum + tree.left_children.length, 0);
  if (nodes > MAX_NODES) throw modelInvalid(`it has ${nodes} nodes, of at most ${MAX_NODES}`);
  const forest = layOut(trees, columns, base, nodes);
  const slim = JSON.stringify(parsed.data);
  const bytes = Buffer.byteLength(slim);
  if (bytes > MAX_MODEL_BYTES)
    throw modelInvalid(`it has ${bytes} bytes, of at most ${MAX_MODEL_BYTES}`);
  return { forest, features, nodes, text: slim };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw modelInvalid('it is no JSON', cause);
  }
}

/** @throws ReachflowError `MODEL_INVALID`. */
function checkLearner(learner: z.infer<typeof fileSchema>['learner']): {
  readonly trees: readonly Tree[];
  readonly base: number;
} {
  const { feature_names: names, learner_model_param: param } = learner;
  const { gradient_booster: booster, objective } = learner;
  if (booster.name !== 'gbtree' || booster.model === undefined)
    throw modelInvalid(`its booster is ${booster.name}, not gbtree`);
  if (!['binary:logistic', 'reg:logistic'].includes(objective.name))
    throw modelInvalid(`its objective is ${objective.name}, not binary:logistic`);
  if (Number(param.num_class ?? 0) > 1 || Number(param.num_target ?? 1) > 1)
    throw modelInvalid('it has more than one output');
  const unknown = names.filter((name) => !isFeatureName(name));
  if (unknown.length > 0)
    throw modelInvalid(`it wants features there are not: ${unknown.join(', ')}`);
  if (new Set(names).size !== names.length) throw modelInvalid('it names a feature twice');
  if (names.length === 0 || names.length !== Number(param.num_feature))
    throw modelInvalid(`it names ${names.length} features, but has ${param.num_feature}`);
  const { trees } = booster.model;
  if (trees.length === 0 || trees.length > MAX_TREES)
    throw modelInvalid(`it has ${trees.length} trees, not 1 to ${MAX_TREES}`);
  // One number, in brackets since XGBoost 3.1.
  const score = Number(param.base_score.replace(/^\[(.*)\]$/, '$1') || Number.NaN);
  if (!(score > 0 && score < 1))
    throw modelInvalid(`its base_score is ${param.base_score}, not between 0 and 1`);
  return { trees, base: Math.fround(-Math.log(1 / Math.fround(score) - 1)) };
}

function layOut(
  trees: readonly Tree[],
  columns: readonly number[],
  base: number,
  nodes: number,
): Forest {
  const forest = {
    roots: new Int32Array(trees.length),
    feature: new Int32Array(nodes).fill(-1),
    value: new Float32Array(nodes),
    below: new Int32Array(nodes),
    others: new Int32Array(nodes),
    missing: new Int32Array(nodes),
    base,
  };
  let from = 0;
  for (const [index, tree] of trees.entries()) {
    checkTree(tree, index, columns.length);
    forest.roots[index] = from;
    for (const [node, left] of tree.left_children.entries()) {
      forest.value[from + node] = tree.split_conditions[node] ?? 0;
      if (left === -1) continue;
      const right = tree.right_children[node] ?? 0;
      forest.feature[from + node] = columns[tree.split_indices[node] ?? 0] ?? -1;
      forest.below[from + node] = from + left;
      forest.others[from + node] = from + right;
      forest.missing[from + node] = from + (tree.default_left[node] ? left : right);
    }
    from += tree.left_children.length;
  }
  return forest;
}

/** That it is a tree: every node is come to once, from the root, in bounded steps. @throws ReachflowError `MODEL_INVALID`. */
function checkTree(tree: Tree, index: number, columns: number): void {
  const { left_children: left, right_children: right, split_conditions: conditions } = tree;
  const wrong = (what: string) => modelInvalid(`tree ${index} ${what}`);
  const size = left.length;
  const lists = [right, tree.split_indices, conditions, tree.default_left];
  if (size === 0 || lists.some((list) => list.length !== size))
    throw wrong('has lists of different lengths');
  if (tree.split_type?.some((type) => type !== 0) || (tree.categories_nodes?.length ?? 0) > 0)
    throw wrong('splits by category');
  if (!conditions.every((value) => Number.isFinite(Math.fround(value))))
    throw wrong('has a value that is no single-precision number');
  const depths = new Int32Array(size).fill(-1);
  const open = [0];
  depths[0] = 0;
  for (let node = open.pop(); node !== undefined; node = open.pop()) {
    const children = [left[node] ?? -1, right[node] ?? -1];
    if (children[0] === -1 && children[1] === -1) continue;
    const split = tree.split_indices[node] ?? -1;
    if (split < 0 || split >= columns) throw wrong(`splits by feature ${split} of ${columns}`);
    const depth = (depths[node] ?? 0) + 1;
    if (depth > MAX_DEPTH) throw wrong(`is deeper than ${MAX_DEPTH}`);
    for (const child of children) {
      if (child <= 0 || child >= size || depths[child] !== -1)
        throw wrong(`has a node ${node} whose child ${child} is none of its own`);
      depths[child] = depth;
      open.push(child);
    }
  }
}

/** An error that says why a model is refused. */
export function modelInvalid(why: string, cause?: unknown): ReachflowError {
  return new ReachflowError(`the model is refused: ${why}`, {
    code: 'MODEL_INVALID',
    domain: 'user',
    hint: 'docs/guides/scoring.md says what a model has to be. The one before it stays in use.',
    ...(cause === undefined ? {} : { cause }),
  });
}
