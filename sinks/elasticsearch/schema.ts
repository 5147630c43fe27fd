import type { estypes } from '@elastic/elasticsearch';
import { ReachflowError } from '../../runtime/errors.ts';
import type { TextSearch } from '../../schemas/stores.ts';
import type { Field, FieldType, TableModel } from '../fields.ts';

/** A field of a mapping, as far as the sink makes any. */
export interface Property {
  readonly type: string;
  readonly analyzer?: string;
  readonly normalizer?: string;
  readonly ignore_above?: number;
  readonly index?: boolean;
  readonly doc_values?: boolean;
  /** Of an alias: the field that it stands for. */
  readonly path?: string;
  /** Other ways to find the same value, `name.keyword`. */
  readonly fields?: Properties;
}

export type Properties = Readonly<Record<string, Property>>;

/** Says that a document is the remainder of a deleted one. */
export const DELETED = 'deleted';
/** When the deletion was written, ms since the epoch: what the purge goes by. */
export const DELETED_AT = 'deleted_at';

/**
 * Lucene refuses a term of more than 32,766 bytes, and with it the document: a longer string is kept but not
 * found by exact match. 8,191 characters of at most 4 bytes.
 */
const ignore_above = 8_191;

const keyword: Property = { type: 'keyword', ignore_above };

/** Kept in the document, found by nothing: neither indexed nor sorted by. */
const unsearched: Property = { type: 'keyword', index: false, doc_values: false };

const NGRAM = 'ngram_3_4';

const searches: Readonly<Record<TextSearch, Property>> = {
  exact: { type: 'keyword' },
  caseless: { ...keyword, normalizer: 'lowercase' },
  words: { type: 'text', fields: { keyword } },
  parts: {
    type: 'text',
    analyzer: 'standard',
    fields: { keyword, ngram: { type: 'text', analyzer: NGRAM } },
  },
};

function propertyOf(type: FieldType): Property {
  switch (type.kind) {
    case 'boolean':
    case 'long':
    case 'float':
    case 'double':
      return { type: type.kind };
    case 'int':
      return { type: 'integer' };
    case 'bigint':
      return { type: 'long' };
    case 'timestamp':
    case 'date':
      return { type: 'date' };
    case 'bytes':
      return { type: 'binary' };
    case 'string':
    case 'enum':
      return keyword;
    case 'array':
      return propertyOf(type.items);
    case 'map':
      // One field however many keys there are: keys that people choose would else fill the mapping.
      return { type: 'flattened', ignore_above };
    case 'json':
      return unsearched;
  }
}

function isText(type: FieldType): boolean {
  return type.kind === 'array'
    ? isText(type.items)
    : type.kind === 'string' || type.kind === 'enum';
}

function fieldProperty(field: Field, { spec }: TableModel): Property {
  if (spec.payload?.includes(field.name) === true) return unsearched;
  if (!isText(field.type)) return propertyOf(field.type);
  const search = spec.search?.[field.name] ?? (spec.key.includes(field.name) ? 'exact' : undefined);
  return search === undefined ? keyword : searches[search];
}

/**
 * The fields of a topic's documents: those of its schema, `deleted` and `deleted_at` where tombstones delete, and
 * `@timestamp` for the time of topics that only grow.
 * @throws ReachflowError `INVALID_SCHEMA` when the schema has a field of one of those names.
 */
export function propertiesOf(model: TableModel): Properties {
  const { spec, fields } = model;
  const own: Properties = {
    ...(spec.deletes ? { [DELETED]: { type: 'boolean' }, [DELETED_AT]: { type: 'date' } } : {}),
    ...(spec.kind === 'append' && spec.time !== undefined
      ? { '@timestamp': { type: 'alias', path: spec.time } }
      : {}),
  };
  const taken = fields.find((field) => Object.hasOwn(own, field.name));
  if (taken !== undefined) {
    throw new ReachflowError(
      `${model.topic} has a field ${taken.name}, which Elasticsearch's documents have of their own`,
      {
        code: 'INVALID_SCHEMA',
        domain: 'user',
        hint: 'Name the field otherwise, or leave Elasticsearch out of the topic’s stores.',
      },
    );
  }
  const given = fields.map((field) => [field.name, fieldProperty(field, model)] as const);
  return { ...Object.fromEntries(given), ...own };
}

/** The whole mapping: strict, so that a field nobody mapped is an error, not a guess. `_meta` says whose it is. */
export function mappingOf(model: TableModel, properties = propertiesOf(model)) {
  const mapping = {
    dynamic: 'strict',
    _meta: { owner: 'reachflow', topic: model.topic },
    properties,
  } as const;
  // Property is narrower than the client's union of forty interfaces, but no member of it.
  return mapping as typeof mapping & estypes.MappingTypeMapping;
}

function needsNgrams(properties: Properties): boolean {
  return Object.values(properties).some(
    ({ analyzer, fields }) => analyzer === NGRAM || (fields !== undefined && needsNgrams(fields)),
  );
}

/** Settings of the indices of a topic. @param shards primary shards. */
export function settingsOf(properties: Properties, shards: number): estypes.IndicesIndexSettings {
  return {
    number_of_shards: shards,
    // A replica where there is a second node, a green index where there is none.
    auto_expand_replicas: '0-1',
    ...(needsNgrams(properties) ? { analysis: ngrams } : {}),
  };
}

const ngrams: estypes.IndicesIndexSettingsAnalysis = {
  tokenizer: {
    [NGRAM]: { type: 'ngram', min_gram: 3, max_gram: 4, token_chars: ['letter', 'digit'] },
  },
  analyzer: {
    [NGRAM]: { type: 'custom', tokenizer: NGRAM, filter: ['lowercase', 'asciifolding'] },
  },
};
