import { z } from 'zod';

/** The part of a JSON Schema (draft 2020-12, as zod writes it) that the loader reads. */
export interface SettingSchema {
  readonly type?: string;
  readonly description?: string;
  readonly default?: unknown;
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly properties?: Readonly<Record<string, SettingSchema>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: boolean | SettingSchema;
  readonly items?: SettingSchema;
  readonly anyOf?: readonly SettingSchema[];
  readonly oneOf?: readonly SettingSchema[];
  readonly minimum?: number;
  readonly maximum?: number;
  /** Set by `.meta({ secret: true })`: the value is never printed. */
  readonly secret?: boolean;
}

/** One value that can be set: a leaf of the tree of sections. Lists and records are leaves. */
export interface Setting {
  /** As in a file, e.g. `kafka.lingerMs`. */
  readonly key: string;
  readonly path: readonly string[];
  /** As in the environment, e.g. `REACHFLOW_KAFKA_LINGER_MS`. */
  readonly env: string;
  readonly schema: SettingSchema;
}

/** Prefix of every environment variable that we read. */
export const ENV_PREFIX = 'REACHFLOW_';

/** The schema of a whole configuration, as data. */
export function rootSchemaOf(schema: z.ZodType): SettingSchema {
  return z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }) as SettingSchema;
}

/** Is it a section, with settings of its own? A record (free keys) is not: it is one setting. */
export function isSection(
  schema: SettingSchema,
): schema is SettingSchema & { properties: Readonly<Record<string, SettingSchema>> } {
  return schema.properties !== undefined;
}

/** `['kafka', 'lingerMs']` → `REACHFLOW_KAFKA_LINGER_MS`. */
export function envNameOf(path: readonly string[]): string {
  const words = path.map((part) =>
    part
      .replace(/([a-z0-9])([A-Z])/g, '$1_$2')
      .replace(/([A-Z]+)([A-Z][a-z])/g, '$1_$2')
      .toUpperCase(),
  );
  return ENV_PREFIX + words.join('_');
}

/**
 * All settings of a schema, in its order.
 * @throws Error when two settings would have the same environment variable: a mistake in the schema.
 */
export function settingsOf(root: SettingSchema): Setting[] {
  const settings: Setting[] = [];
  const keyOfEnv = new Map<string, string>();
  const visit = (schema: SettingSchema, path: readonly string[]): void => {
    if (isSection(schema)) {
      for (const [name, child] of Object.entries(schema.properties)) visit(child, [...path, name]);
      return;
    }
    const setting = { key: path.join('.'), path, env: envNameOf(path), schema };
    const twin = keyOfEnv.get(setting.env);
    if (twin !== undefined) {
      throw new Error(`${twin} and ${setting.key} would both be set by ${setting.env}`);
    }
    keyOfEnv.set(setting.env, setting.key);
    settings.push(setting);
  };
  visit(root, []);
  return settings;
}

/** The schemas that a value below `schema` at `step` may have; several where it is a union. */
export function schemasBelow(schema: SettingSchema, step: string | number): SettingSchema[] {
  const found: SettingSchema[] = [];
  for (const option of [...(schema.anyOf ?? []), ...(schema.oneOf ?? [])]) {
    found.push(...schemasBelow(option, step));
  }
  const named = schema.properties;
  if (named !== undefined && typeof step === 'string' && Object.hasOwn(named, step)) {
    const child = named[step];
    if (child !== undefined) found.push(child);
  } else if (typeof schema.additionalProperties === 'object') {
    found.push(schema.additionalProperties);
  }
  if (schema.items !== undefined && typeof step === 'number') found.push(schema.items);
  return found;
}

/** Is the value, or anything in it, a secret? */
export function holdsSecret(schema: SettingSchema): boolean {
  if (schema.secret === true) return true;
  const { properties, additionalProperties, items, anyOf, oneOf } = schema;
  const below = [
    ...Object.values(properties ?? {}),
    ...(typeof additionalProperties === 'object' ? [additionalProperties] : []),
    ...(items === undefined ? [] : [items]),
    ...(anyOf ?? []),
    ...(oneOf ?? []),
  ];
  return below.some(holdsSecret);
}
