import type { z } from 'zod';
import { redact } from './redact.ts';
import { holdsSecret, rootSchemaOf, type SettingSchema, settingsOf } from './settings.ts';

/** One setting, for people. */
export interface SettingRow {
  readonly key: string;
  readonly env: string;
  /** E.g. `integer, 1 to 1000` or `none | gzip`. */
  readonly type: string;
  /** The default as JSON; undefined when there is none and the setting may stay unset. */
  readonly default: string | undefined;
  readonly description: string;
  /** Is it, or anything in it, secret? */
  readonly secret: boolean;
}

function rangeText({ minimum, maximum }: SettingSchema): string {
  const low = minimum === undefined || minimum <= Number.MIN_SAFE_INTEGER ? undefined : minimum;
  const high = maximum === undefined || maximum >= Number.MAX_SAFE_INTEGER ? undefined : maximum;
  if (low !== undefined && high !== undefined) return `, ${low} to ${high}`;
  if (low !== undefined) return `, ${low} or more`;
  return high === undefined ? '' : `, at most ${high}`;
}

function typeText(schema: SettingSchema): string {
  const options = schema.anyOf ?? schema.oneOf;
  if (options !== undefined) return [...new Set(options.map(typeText))].join(' or ');
  if (schema.enum !== undefined) return schema.enum.map(String).join(' | ');
  if (schema.const !== undefined) return String(schema.const);
  switch (schema.type) {
    case 'integer':
    case 'number':
      return schema.type + rangeText(schema);
    case 'array':
      return `list of ${schema.items === undefined ? 'values' : typeText(schema.items)}`;
    case 'object':
      return schema.properties === undefined ? 'record by name' : 'object';
    case 'string':
      return 'text';
    default:
      return schema.type ?? 'any';
  }
}

/** Every setting of a schema, in its order. */
export function describeConfig(schema: z.ZodType): SettingRow[] {
  return settingsOf(rootSchemaOf(schema)).map(({ key, env, schema: setting }) => ({
    key,
    env,
    type: typeText(setting),
    default:
      setting.default === undefined
        ? undefined
        : JSON.stringify(redact(setting.default, [setting])),
    description: setting.description ?? '',
    secret: holdsSecret(setting),
  }));
}

/** The effective configuration, ready to print: secrets and passwords in URLs replaced. */
export function redactConfig(schema: z.ZodType, config: unknown): unknown {
  return redact(config, [rootSchemaOf(schema)]);
}

function cell(text: string): string {
  return text.replaceAll('|', '\\|').replaceAll('<', '&lt;').replaceAll('\n', ' ');
}

function code(text: string): string {
  return `\`${text.replaceAll('|', '\\|')}\``;
}

/** The settings as markdown tables, one for each section. */
export function configMarkdown(schema: z.ZodType): string {
  const sections = new Map<string, SettingRow[]>();
  for (const row of describeConfig(schema)) {
    const section = row.key.split('.')[0] ?? '';
    sections.set(section, [...(sections.get(section) ?? []), row]);
  }
  const parts = [...sections].map(([section, rows]) => {
    const lines = rows.map(({ key, env, type, default: fallback, description, secret }) => {
      const shown = fallback === undefined ? '' : code(fallback);
      const note = secret ? ' *(secret)*' : '';
      return `| ${code(key)} | ${code(env)} | ${cell(type)} | ${shown} | ${cell(description)}${note} |`;
    });
    const head = ['| key | environment | type | default | meaning |', '|---|---|---|---|---|'];
    return [`## ${section}`, '', ...head, ...lines, ''].join('\n');
  });
  return parts.join('\n');
}
