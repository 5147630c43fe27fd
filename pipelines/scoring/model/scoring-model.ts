import { createHash } from 'node:crypto';
import type { TableSpec } from '../../../runtime/state/broadcast-table.ts';
import type { ScoringModel as PublishedModel } from '../../../schemas/types.ts';
import { type Forest, logistic, marginOf } from './forest.ts';
import { modelInvalid, readXgboost } from './xgboost.ts';

/** The name under which a model is used; models of other names are kept, and used by nobody. */
export const ACTIVE_MODEL = 'lead';

/** How far ahead of our clock a publication's time may be, ms: it orders models. */
const MAX_FUTURE_MS = 5 * 60_000;
const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/;

/** A model that contacts can be scored with. */
export interface Model {
  readonly name: string;
  /** Digest of `text`: the same model has the same version wherever it is published. */
  readonly version: string;
  /** ms since the epoch. Of two models of a name the one with the later time counts. */
  readonly publishedAt: number;
  readonly text: string;
  readonly forest: Forest;
}

/** What a model file has to say of itself. */
export interface ModelSummary {
  readonly version: string;
  readonly features: readonly string[];
  readonly trees: number;
  readonly nodes: number;
  /** As it is published. */
  readonly bytes: number;
}

function versionOf(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 16);
}

/** Judges a model file. @throws ReachflowError `MODEL_INVALID`. */
export function checkModelFile(text: string): ModelSummary & { readonly text: string } {
  const { forest, features, nodes, text: slim } = readXgboost(text);
  const bytes = Buffer.byteLength(slim);
  const version = versionOf(slim);
  return { version, features, trees: forest.roots.length, nodes, bytes, text: slim };
}

/** What is published of a model file. @throws ReachflowError `MODEL_INVALID`. */
export function modelToPublish(name: string, file: string, publishedAt: number): PublishedModel {
  if (!NAME.test(name))
    throw modelInvalid(`${JSON.stringify(name)} is no name: letters, digits, . _ - only`);
  const { version, features, text } = checkModelFile(file);
  return { name, version, published_at: publishedAt, features: [...features], model: text };
}

/**
 * A published model, ready to score. Whoever wrote it, it is checked as at publication.
 * @param now ms since the epoch.
 * @throws ReachflowError `MODEL_INVALID`.
 */
export function openModel(published: PublishedModel, now: number): Model {
  const { name, version, published_at: publishedAt, model } = published;
  const read = readXgboost(model);
  if (versionOf(model) !== version)
    throw modelInvalid(`it says that it is ${version}, but is ${versionOf(model)}`);
  if (publishedAt > now + MAX_FUTURE_MS)
    throw modelInvalid(`it is from the future, ${new Date(publishedAt).toISOString()}`);
  return { name, version, publishedAt, text: model, forest: read.forest };
}

/** Score of a contact, 0 to 1. @param features as `featureNames` orders them. */
export function scoreOf({ forest }: Model, features: Float32Array): number {
  return logistic(marginOf(forest, features));
}

/** The models, held whole by each process. One that is refused is reported and leaves the row as it was. */
export const models: TableSpec<'scoring.model', Model> = {
  topic: 'scoring.model',
  toRow: (published) => ({ key: published.name, row: openModel(published, Date.now()) }),
};
