import type { z } from 'zod';
import { Collection, type Environment } from './collection.ts';
import { readConfigFile } from './file.ts';
import { problemsOf } from './issues.ts';
import { ConfigError, type ConfigSource } from './problem.ts';
import { rootSchemaOf } from './settings.ts';

export interface LoadOptions {
  readonly env: Environment;
  /** The file to read; when absent, the variable REACHFLOW_CONFIG, then `reachflow.config.*` in `cwd`. */
  readonly file?: string;
  /** Where to look for the file; the process's own when absent. */
  readonly cwd?: string;
  /** Values that stand in for defaults, section by section: the endpoints of a running stack. */
  readonly overlay?: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
  /** REACHFLOW_ variables that are not settings; those that begin with one that ends in `_` included. */
  readonly reservedEnv?: readonly string[];
}

export interface LoadedConfig<T> {
  readonly config: T;
  /** By key, for every setting. */
  readonly sources: Readonly<Record<string, ConfigSource>>;
  /** The file that was read. */
  readonly file: string | undefined;
}

/** Names the file to read: not a setting itself. */
export const CONFIG_FILE_ENV = 'REACHFLOW_CONFIG';

/**
 * The configuration by one schema. Environment wins over file, file over overlay, overlay over default, each
 * setting by itself.
 * @throws ConfigError with everything that is wrong, each with its source, its key and what is expected: values
 *   that do not fit, keys and `REACHFLOW_` variables that do not exist.
 */
export function loadConfig<S extends z.ZodType>(
  schema: S,
  options: LoadOptions,
): LoadedConfig<z.output<S>> {
  const collection = new Collection(rootSchemaOf(schema));
  const cwd = options.cwd ?? process.cwd();
  const named = options.file ?? (options.env[CONFIG_FILE_ENV] || undefined);
  const file = readConfigFile(cwd, named);
  if (options.overlay !== undefined) collection.addTree(options.overlay, { kind: 'stack' });
  if (file !== undefined) collection.addTree(file.content, { kind: 'file', path: file.path });
  collection.addEnv(options.env, [CONFIG_FILE_ENV, ...(options.reservedEnv ?? [])]);
  const raw = collection.raw();
  const parsed = schema.safeParse(raw);
  const problems = [
    ...collection.problems,
    ...(parsed.success ? [] : problemsOf(parsed.error.issues, raw, collection)),
  ];
  if (problems.length > 0 || !parsed.success) throw new ConfigError(problems);
  const sources: Record<string, ConfigSource> = {};
  for (const { key } of collection.settings) {
    sources[key] = collection.given.get(key)?.source ?? { kind: 'default' };
  }
  return { config: parsed.data, sources, file: file?.path };
}
