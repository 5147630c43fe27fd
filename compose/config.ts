import { homedir } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import { stackEngines } from './types.ts';

/** `$XDG_CACHE_HOME/reachflow`, by default `~/.cache/reachflow` (XDG Base Directory Specification). */
export function defaultCacheDir(
  env: Readonly<Record<string, string | undefined>> = process.env,
): string {
  const base = env['XDG_CACHE_HOME'];
  // The specification: a path that is not absolute is to be ignored.
  return join(base?.startsWith('/') === true ? base : join(homedir(), '.cache'), 'reachflow');
}

/** The `stack` section: the engines that `reachflow stack` starts for development and tests. */
export const stackConfigSchema = z.strictObject({
  engine: z
    .enum(stackEngines)
    .default('embedded')
    .describe(
      'embedded: real engines without Docker. docker: compose/docker-compose.yml. external: your own, at the endpoints of the other sections.',
    ),
  dir: z
    .string()
    .min(1)
    .default('.reachflow/stack')
    .describe('State, data and logs of the stack, relative to the working directory.'),
  cacheDir: z
    .string()
    .min(1)
    .default(() => defaultCacheDir())
    .describe('Where the embedded engines are provisioned, once per user.'),
});

export type StackConfig = z.infer<typeof stackConfigSchema>;
