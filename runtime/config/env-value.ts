import type { SettingSchema } from './settings.ts';

/** Text of an environment variable, read as what its setting is; `invalid` says what was expected instead. */
export type EnvValue =
  | { readonly kind: 'value'; readonly value: unknown }
  | { readonly kind: 'unset' }
  | { readonly kind: 'invalid'; readonly expected: string };

const NUMBER = /^[+-]?\d+(\.\d+)?(e[+-]?\d+)?$/i;
const TRUTH = new Map([
  ['true', true],
  ['1', true],
  ['false', false],
  ['0', false],
]);

const value = (read: unknown): EnvValue => ({ kind: 'value', value: read });

function json(text: string, expected: string): EnvValue {
  try {
    return value(JSON.parse(text));
  } catch {
    // The parser's message quotes the text, which may hold a secret.
    return { kind: 'invalid', expected };
  }
}

function scalar(text: string, schema: SettingSchema): unknown {
  const trimmed = text.trim();
  if (schema.type === 'number' || schema.type === 'integer') {
    return NUMBER.test(trimmed) ? Number(trimmed) : text;
  }
  if (schema.type === 'boolean') return TRUTH.get(trimmed.toLowerCase()) ?? text;
  return text;
}

function list(text: string, schema: SettingSchema): EnvValue {
  if (text.trimStart().startsWith('[')) return json(text, 'a list: comma-separated, or in JSON');
  const items = text.split(',').map((item) => item.trim());
  return value(items.filter((item) => item !== '').map((item) => scalar(item, schema.items ?? {})));
}

/**
 * Reads the text of an environment variable: numbers and booleans as such, lists comma-separated or in JSON,
 * records in JSON. An empty one is as good as unset, except for text. What is not of the type stays text, for
 * the schema to reject.
 */
export function readEnvValue(text: string, schema: SettingSchema): EnvValue {
  if (schema.type === 'string' || schema.enum?.every((option) => typeof option === 'string')) {
    return value(text);
  }
  if (text.trim() === '') return { kind: 'unset' };
  switch (schema.type) {
    case 'array':
      return list(text, schema);
    case 'object':
      return json(text, 'an object in JSON');
    case 'number':
    case 'integer':
    case 'boolean':
      return value(scalar(text, schema));
    default:
      return /^\s*[[{]/.test(text) ? json(text, 'text, or JSON') : value(text);
  }
}
