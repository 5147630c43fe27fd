import type { Client, estypes } from '@elastic/elasticsearch';
import { ReachflowError } from '../../runtime/errors.ts';
import type { TableModel } from '../fields.ts';
import { errorType, isNotFound } from './classify.ts';
import { FIELD_LIMIT, firstIndexOf, planMapping, templateOf } from './evolution.ts';
import { aliasFilter, type IndexNames } from './indices.ts';
import { lifecycleSettings, nodesInfo } from './lifecycle.ts';
import { type Properties, propertiesOf } from './schema.ts';

/** A topic's rows, and the names that they have in this cluster. */
export interface IndexedTopic {
  readonly model: TableModel;
  readonly names: IndexNames;
}

/** `http.max_content_length` where the server does not say: its default, 100 MB. */
const DEFAULT_CONTENT_LENGTH = 100 * 1_048_576;

/**
 * The largest request that every node takes, bytes. The server's default where a user may not ask for it.
 * @throws other errors of the client.
 */
export async function contentLimit(client: Client): Promise<number> {
  const nodes = await nodesInfo(client, 'http', 'nodes.*.http.max_content_length_in_bytes');
  const limits = Object.values(nodes ?? {}).flatMap(({ http }) =>
    http === undefined ? [] : [Number(http.max_content_length_in_bytes)],
  );
  return Math.min(DEFAULT_CONTENT_LENGTH, ...limits);
}

/**
 * Brings the cluster to take a topic's documents: template, index, alias, mapping. What is there is only added to.
 * @param lifecycle whether a policy is to see to the indices of days.
 * @throws ReachflowError `ELASTICSEARCH_SETTINGS` naming each field that cannot become what it should: then nothing was
 *   changed. Errors of the client.
 */
export async function setUpTopic(
  client: Client,
  topic: IndexedTopic,
  lifecycle: boolean,
): Promise<void> {
  const { model, names } = topic;
  const found = await indicesBehind(client, names.alias);
  const changes = found.flatMap(({ index, state }) => {
    const plan = planMapping(propertiesIn(state.mappings), propertiesOf(model), limitOf(state));
    if (plan.refused.length > 0) throw refusal(index, plan.refused);
    return Object.keys(plan.added).length === 0 ? [] : [{ index, properties: plan.added }];
  });
  await putTemplate(client, topic, { lifecycle, shards: 1 });
  for (const { index, properties } of changes) {
    await client.indices.putMapping({ index, properties: asMapping(properties) });
  }
  // Of append topics, too: readers find the alias before there is a record.
  if (found.length === 0) await createIndex(client, topic, names.first);
  // Also where someone else made the alias: without its filter, searches would find what was deleted.
  const wrong = found.filter(({ state }) => !hasFilter(state, topic));
  for (const { index } of wrong) {
    await client.indices.putAlias({ index, name: names.alias, ...aliasFilter(model) });
  }
}

/**
 * Puts the topic's index template. Fields and shards that the template has already are kept: another process may be
 * ahead of this one.
 * @throws ReachflowError `ELASTICSEARCH_SETTINGS`; errors of the client.
 */
export async function putTemplate(
  client: Client,
  { model, names }: IndexedTopic,
  { lifecycle, shards }: { readonly lifecycle: boolean; readonly shards: number },
): Promise<void> {
  const before = await templateNow(client, names);
  const plan = planMapping(before.properties, propertiesOf(model), FIELD_LIMIT);
  if (plan.refused.length > 0) throw refusal(`the template ${names.template}`, plan.refused);
  const body = templateOf(model, names, Math.max(shards, before.shards), plan.fields);
  const { template } = body;
  await client.indices.putIndexTemplate({
    name: names.template,
    ...body,
    template: {
      ...template,
      settings: { ...template.settings, ...(lifecycle ? lifecycleSettings(names) : {}) },
    },
  });
}

/** What the topic's template says now; nothing of one that is not there. */
export async function templateNow(
  client: Client,
  { template: name }: IndexNames,
): Promise<{ readonly properties: Properties; readonly shards: number }> {
  try {
    const { index_templates } = await client.indices.getIndexTemplate({ name });
    const { mappings, settings } = index_templates[0]?.index_template.template ?? {};
    const shards = Number(settings?.index?.number_of_shards ?? 1);
    return { properties: propertiesIn(mappings), shards };
  } catch (error) {
    if (isNotFound(error)) return { properties: {}, shards: 1 };
    throw error;
  }
}

/** Makes an index under the topic's alias; another process may be faster. @throws errors of the client. */
export async function createIndex(
  client: Client,
  { model, names }: IndexedTopic,
  index: string,
): Promise<void> {
  // Those of days have theirs from the template alone, which may know of more fields and shards than this process.
  const body = index === names.first ? firstIndexOf(model, names) : {};
  try {
    await client.indices.create({ index, ...body });
  } catch (error) {
    if (errorType(error) !== 'resource_already_exists_exception') throw error;
  }
}

interface FoundIndex {
  readonly index: string;
  readonly state: estypes.IndicesIndexState;
}

async function indicesBehind(client: Client, alias: string): Promise<readonly FoundIndex[]> {
  let found: estypes.IndicesGetResponse;
  try {
    found = await client.indices.get({ index: alias });
  } catch (error) {
    if (isNotFound(error)) return [];
    throw error;
  }
  if (Object.hasOwn(found, alias)) {
    throw settingsError(
      `${alias} is an index, where the sink has an alias`,
      'Rename it by a clone and an alias of its old name, or use another elasticsearch.indexPrefix.',
    );
  }
  return Object.entries(found).map(([index, state]) => ({ index, state }));
}

function propertiesIn(mappings: estypes.MappingTypeMapping | undefined): Properties {
  return (mappings?.properties ?? {}) as Properties;
}

function asMapping(properties: Properties): Record<string, estypes.MappingProperty> {
  return properties as Record<string, estypes.MappingProperty>;
}

function limitOf({ settings }: estypes.IndicesIndexState): number {
  const limit = settings?.index?.mapping?.total_fields?.limit;
  return limit === undefined ? FIELD_LIMIT : Number(limit);
}

function hasFilter(state: estypes.IndicesIndexState, { model, names }: IndexedTopic): boolean {
  return aliasFilter(model).filter === undefined || state.aliases?.[names.alias]?.filter != null;
}

function refusal(where: string, refused: readonly string[]): ReachflowError {
  return settingsError(
    `${where} cannot take the topic's documents: ${refused.join('; ')}`,
    'A mapping is only added to: give the field another name, or write another index and move the alias to it.',
  );
}

function settingsError(message: string, hint: string): ReachflowError {
  return new ReachflowError(message, { code: 'ELASTICSEARCH_SETTINGS', domain: 'user', hint });
}
