import { readEnvValue } from './env-value.ts';
import { type ConfigProblem, type ConfigSource, givenText, nearestName } from './problem.ts';
import { REDACTED } from './redact.ts';
import {
  ENV_PREFIX,
  holdsSecret,
  isSection,
  type Setting,
  type SettingSchema,
  settingsOf,
} from './settings.ts';

export type Environment = Readonly<Record<string, string | undefined>>;

/** A value that was given, and where. */
export interface Given {
  readonly setting: Setting;
  readonly value: unknown;
  readonly source: ConfigSource;
}

/** What was given so far, by key; a later source wins. */
export class Collection {
  readonly given = new Map<string, Given>();
  readonly problems: ConfigProblem[] = [];
  readonly settings: readonly Setting[];
  readonly root: SettingSchema;

  constructor(root: SettingSchema) {
    this.root = root;
    this.settings = settingsOf(root);
  }

  addTree(content: unknown, source: ConfigSource): void {
    const settings = new Map(this.settings.map((setting) => [setting.key, setting]));
    const visit = (node: unknown, schema: SettingSchema, path: readonly string[]): void => {
      const key = path.join('.');
      const setting = settings.get(key);
      if (setting !== undefined) {
        this.given.set(key, { setting, value: node, source });
        return;
      }
      // `kafka:` with nothing below it.
      if (node === null || node === undefined || !isSection(schema)) return;
      if (typeof node !== 'object' || Array.isArray(node)) {
        const given = givenText(holdsSecret(schema) ? REDACTED : node);
        const where = key === '' ? { source } : { source, key };
        this.problems.push({ ...where, given, message: 'expected settings by name' });
        return;
      }
      for (const [name, child] of Object.entries(node)) {
        if (Object.hasOwn(schema.properties, name)) {
          visit(child, schema.properties[name] ?? {}, [...path, name]);
        } else this.#unknownKey([...path, name], Object.keys(schema.properties), source);
      }
    };
    visit(content, this.root, []);
  }

  #unknownKey(path: readonly string[], siblings: readonly string[], source: ConfigSource): void {
    const name = path.at(-1) ?? '';
    const near = nearestName(name, siblings);
    const nearest =
      near === undefined
        ? nearestName(
            path.join('.'),
            this.settings.map(({ key }) => key),
          )
        : [...path.slice(0, -1), near].join('.');
    this.problems.push({
      source,
      key: path.join('.'),
      message: 'there is no such setting',
      ...(nearest === undefined ? {} : { nearest }),
    });
  }

  addEnv(env: Environment, reserved: readonly string[]): void {
    const settings = new Map(this.settings.map((setting) => [setting.env, setting]));
    const isReserved = (name: string) =>
      reserved.some((entry) => (entry.endsWith('_') ? name.startsWith(entry) : name === entry));
    for (const [name, text] of Object.entries(env)) {
      if (text === undefined || !name.startsWith(ENV_PREFIX)) continue;
      const source = { kind: 'env', name } as const;
      const setting = settings.get(name);
      if (setting !== undefined) this.#addVariable(setting, text, source);
      else if (!isReserved(name)) {
        const nearest = nearestName(name.slice(ENV_PREFIX.length), this.#envNames());
        this.problems.push({
          source,
          message: 'there is no such setting',
          ...(nearest === undefined ? {} : { nearest: ENV_PREFIX + nearest }),
        });
      }
    }
  }

  #envNames(): string[] {
    return this.settings.map(({ env }) => env.slice(ENV_PREFIX.length));
  }

  #addVariable(setting: Setting, text: string, source: ConfigSource): void {
    const { key, schema } = setting;
    const read = readEnvValue(text, schema);
    if (read.kind === 'value') this.given.set(key, { setting, value: read.value, source });
    if (read.kind !== 'invalid') return;
    const given = givenText(holdsSecret(schema) ? REDACTED : text);
    this.problems.push({ source, key, given, message: `expected ${read.expected}` });
  }

  /** The tree to check: every section is there, so that the defaults of its settings apply. */
  raw(): Record<string, unknown> {
    const tree: Record<string, unknown> = {};
    for (const setting of this.settings) {
      let section = tree;
      for (const name of setting.path.slice(0, -1)) {
        section[name] ??= {};
        section = section[name] as Record<string, unknown>;
      }
      const given = this.given.get(setting.key);
      if (given !== undefined) section[setting.path.at(-1) ?? ''] = given.value;
    }
    return tree;
  }
}
