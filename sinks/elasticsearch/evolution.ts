import type { PlanEvolution } from '../evolution.ts';
import type { TableModel } from '../fields.ts';
import { aliasFilter, type IndexNames, namesOf, TEMPLATE_PRIORITY } from './indices.ts';
import { mappingOf, type Properties, type Property, propertiesOf, settingsOf } from './schema.ts';

/** `index.mapping.total_fields.limit` of an index that sets none: its fields, with those inside of fields. */
export const FIELD_LIMIT = 1_000;

/** The fields that the server counts: other ways to find a value count too, and so do aliases. */
export function countFields(properties: Properties): number {
  return Object.values(properties).reduce(
    (sum, { fields }) => sum + 1 + (fields === undefined ? 0 : countFields(fields)),
    0,
  );
}

/** What an index has to do to take a topic's documents. */
export interface MappingPlan {
  /** Fields that are new, or are found in a new way. */
  readonly added: Properties;
  /** Why the index cannot take them, each naming the field. */
  readonly refused: readonly string[];
  /** All fields afterwards, those that nobody writes any more included. */
  readonly fields: Properties;
  readonly used: number;
}

/** What the server assumes where a mapping says nothing. Only what it never changes is compared. */
const FIXED: Readonly<
  Record<'type' | 'analyzer' | 'normalizer' | 'index' | 'doc_values' | 'path', unknown>
> = {
  ...{ type: 'object', analyzer: 'standard', normalizer: '', index: true },
  ...{ doc_values: true, path: '' },
};

function fixedDifference(before: Property, after: Property): string | undefined {
  for (const name of Object.keys(FIXED) as (keyof typeof FIXED)[]) {
    const [was, is] = [before[name] ?? FIXED[name], after[name] ?? FIXED[name]];
    if (String(was) === String(is)) continue;
    return name === 'type' ? `is ${was}, not ${is}` : `has ${name} ${was}, not ${is}`;
  }
  return undefined;
}

function sameProperty(before: Property, after: Property): boolean {
  if (before.ignore_above !== after.ignore_above) return false;
  return Object.entries(after.fields ?? {}).every(([name, field]) => {
    const there = before.fields?.[name];
    return there !== undefined && sameProperty(there, field);
  });
}

function refusals(name: string, before: Property, after: Property): readonly string[] {
  const difference = fixedDifference(before, after);
  if (difference !== undefined) return [`${name} ${difference}`];
  return Object.entries(after.fields ?? {}).flatMap(([inner, field]) => {
    const there = before.fields?.[inner];
    return there === undefined ? [] : refusals(`${name}.${inner}`, there, field);
  });
}

/**
 * Plans the change of a mapping, additively. Pure.
 * @param before of the index as it is; empty for a new one.
 * @param limit the fields that the index may have.
 */
export function planMapping(before: Properties, after: Properties, limit: number): MappingPlan {
  const added: Record<string, Property> = {};
  const fields: Record<string, Property> = { ...before };
  const refused: string[] = [];
  for (const [name, property] of Object.entries(after)) {
    const there = before[name];
    if (there !== undefined) {
      refused.push(...refusals(name, there, property));
      if (sameProperty(there, property)) continue;
    }
    added[name] = property;
    fields[name] = { ...property, ...mergedFields(there, property) };
  }
  const used = countFields(fields);
  if (used > limit) {
    const news = Object.keys(added).slice(0, 5).join(', ');
    refused.push(
      `${used} fields are more than the ${limit} that the index may have; new are ${news || 'none'}`,
    );
  }
  return { added, refused, fields, used };
}

function mergedFields(before: Property | undefined, after: Property): { fields?: Properties } {
  const fields = { ...before?.fields, ...after.fields };
  return Object.keys(fields).length === 0 ? {} : { fields };
}

/** The fields of the topic's documents out of those that an index may have. */
export function fieldBudget(model: TableModel): { readonly used: number; readonly limit: number } {
  return { used: countFields(propertiesOf(model)), limit: FIELD_LIMIT };
}

/** The index template's body. @param properties more than the model's where the template has had more. */
export function templateOf(
  model: TableModel,
  names: IndexNames,
  shards: number,
  properties = propertiesOf(model),
) {
  return {
    index_patterns: [names.pattern],
    priority: TEMPLATE_PRIORITY,
    template: {
      settings: settingsOf(properties, shards),
      mappings: mappingOf(model, properties),
      // Upserts are in one index at a time, which the alias is moved to; a new day is found at once.
      ...(model.spec.kind === 'append' ? { aliases: { [names.alias]: {} } } : {}),
    },
    _meta: { owner: 'reachflow', topic: model.topic },
  };
}

/** The body of a topic's first index: by itself all that it needs, whether or not the template is for it. */
export function firstIndexOf(model: TableModel, names: IndexNames) {
  const properties = propertiesOf(model);
  return {
    settings: settingsOf(properties, 1),
    mappings: mappingOf(model, properties),
    aliases: { [names.alias]: aliasFilter(model) },
  };
}

function statement(method: string, path: string, body: unknown): string {
  return `${method} /${path}\n${JSON.stringify(body)}`;
}

/** Names are those without `elasticsearch.indexPrefix`. */
export const planEvolution: PlanEvolution = (before, after) => {
  const names = namesOf(after, '');
  const properties = propertiesOf(after);
  const plan = planMapping(
    before === undefined ? {} : propertiesOf(before),
    properties,
    FIELD_LIMIT,
  );
  const refused = [...plan.refused];
  if (before !== undefined) {
    for (const part of ['table', 'kind', 'key'] as const) {
      const [was, is] = [String(before.spec[part]), String(after.spec[part])];
      if (was !== is) refused.push(`${part} is ${was}, not ${is}`);
    }
  }
  const done = { store: 'elasticsearch', refused } as const;
  if (refused.length > 0) return { ...done, statements: [] };
  const template = () =>
    statement('PUT', `_index_template/${names.template}`, templateOf(after, names, 1, plan.fields));
  if (before === undefined) {
    const index = statement('PUT', names.first, firstIndexOf(after, names));
    return { ...done, statements: [template(), index] };
  }
  if (Object.keys(plan.added).length === 0) return { ...done, statements: [] };
  const mapping = statement('PUT', `${names.alias}/_mapping`, { properties: plan.added });
  return { ...done, statements: [template(), mapping] };
};
