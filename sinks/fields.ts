import { ReachflowError } from '../runtime/errors.ts';
import { readerSchemaText } from '../schemas/avro.ts';
import type { StoreSpec } from '../schemas/stores.ts';
import { storeOf, type TopicName } from '../schemas/topics.ts';

/** What a field holds, as far as stores care: Avro's types and the logical types that `schemas/avro` uses. */
export type FieldType =
  | { readonly kind: 'boolean' | 'int' | 'long' | 'float' | 'double' | 'string' | 'bytes' }
  /** A `long` that may exceed 2^53; a bigint in the decoded value. */
  | { readonly kind: 'bigint' }
  /** ms since the epoch. */
  | { readonly kind: 'timestamp' }
  /** Days since the epoch. */
  | { readonly kind: 'date' }
  | { readonly kind: 'enum'; readonly symbols: readonly string[] }
  | { readonly kind: 'array'; readonly items: FieldType; readonly nullableItems: boolean }
  | { readonly kind: 'map'; readonly values: FieldType; readonly nullableValues: boolean }
  /** Nested records and unions of several types: kept as JSON text. */
  | { readonly kind: 'json' };

export interface Field {
  readonly name: string;
  readonly type: FieldType;
  readonly nullable: boolean;
  /** The schema's doc; empty without one. */
  readonly doc: string;
  /** Whether the schema gives a default: old records then read with it. */
  readonly hasDefault: boolean;
  /** That default, as in the schema (JSON); absent without one. */
  readonly default?: unknown;
}

/** A topic's rows in any store: what tables, mappings and encoders are made from. */
export interface TableModel {
  readonly topic: string;
  readonly spec: StoreSpec;
  /** Top-level fields of the value's schema, in its order. */
  readonly fields: readonly Field[];
  /**
   * Where readers' name stands for another place: an alias of Elasticsearch for the indices of a replay that is live now.
   * The table's name when absent.
   */
  readonly base?: string;
}

type Node = string | readonly Node[] | { readonly [key: string]: unknown };

const PLAIN = ['boolean', 'int', 'long', 'float', 'double', 'string', 'bytes'] as const;

function isPlain(name: unknown): name is (typeof PLAIN)[number] {
  return PLAIN.some((plain) => plain === name);
}

/** A type without its null branch. */
function withoutNull(node: Node): { readonly node: Node; readonly nullable: boolean } {
  if (!Array.isArray(node)) return { node, nullable: node === 'null' };
  const branches = (node as readonly Node[]).filter((branch) => branch !== 'null');
  const nullable = branches.length < node.length;
  return {
    node: branches.length === 1 && branches[0] !== undefined ? branches[0] : branches,
    nullable,
  };
}

function logicalType(node: Readonly<Record<string, unknown>>): FieldType | undefined {
  const { type, logicalType: logical } = node;
  if (type === 'long' && logical === 'timestamp-millis') return { kind: 'timestamp' };
  if (type === 'long' && logical === 'bigint') return { kind: 'bigint' };
  if (type === 'int' && logical === 'date') return { kind: 'date' };
  return undefined;
}

function fieldType(node: Node): FieldType {
  if (typeof node === 'string') return isPlain(node) ? { kind: node } : { kind: 'json' };
  if (Array.isArray(node)) return { kind: 'json' };
  const given = node as Readonly<Record<string, unknown>>;
  const logical = logicalType(given);
  if (logical !== undefined) return logical;
  const { type } = given;
  if (isPlain(type)) return { kind: type };
  if (type === 'enum') return { kind: 'enum', symbols: given['symbols'] as readonly string[] };
  if (type === 'array') {
    const { node: items, nullable } = withoutNull(given['items'] as Node);
    return { kind: 'array', items: fieldType(items), nullableItems: nullable };
  }
  if (type === 'map') {
    const { node: values, nullable } = withoutNull(given['values'] as Node);
    return { kind: 'map', values: fieldType(values), nullableValues: nullable };
  }
  if (typeof type === 'object' && type !== null) return fieldType(type as Node);
  return { kind: 'json' };
}

/**
 * The fields of a record schema. @param text JSON of an Avro record schema.
 * @throws ReachflowError `INVALID_SCHEMA` when it is none.
 */
export function fieldsOf(text: string): readonly Field[] {
  const schema: unknown = JSON.parse(text);
  if (typeof schema !== 'object' || schema === null || !('fields' in schema)) {
    throw new ReachflowError('the schema is no Avro record', {
      code: 'INVALID_SCHEMA',
      domain: 'user',
      hint: 'Values of topics are Avro records: {"type": "record", "fields": […]}.',
    });
  }
  const fields = schema.fields as readonly Readonly<Record<string, unknown>>[];
  return fields.map((field) => {
    const { node, nullable } = withoutNull(field['type'] as Node);
    return {
      name: String(field['name']),
      type: fieldType(node),
      nullable,
      doc: typeof field['doc'] === 'string' ? field['doc'] : '',
      hasDefault: 'default' in field,
      ...('default' in field ? { default: field['default'] } : {}),
    };
  });
}

/** The rows of a topic of the map. @throws Error when no store keeps it. */
export function tableModel(topic: TopicName): TableModel {
  const spec = storeOf(topic);
  if (spec === undefined) throw new Error(`no store keeps ${topic}`);
  return { topic, spec, fields: fieldsOf(readerSchemaText(topic)) };
}
