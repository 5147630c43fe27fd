import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stackConfigSchema } from '../../compose/config.ts';
import {
  type ComponentName,
  downStack,
  type StackEndpoints,
  upStack,
} from '../../compose/stack.ts';

/** Engines of one test, which it may kill and restart. */
export interface OwnStack {
  /** As the functions of `compose/stack.ts` take it. */
  readonly dir: string;
  readonly endpoints: StackEndpoints;
  /** Ends them, and removes what they left. */
  remove(): Promise<void>;
}

/** Starts engines that no other test uses: a broker and a registry, or those given. Takes some seconds. */
export async function startOwnStack(
  name: string,
  components: readonly ComponentName[] = ['kafka', 'registry'],
): Promise<OwnStack> {
  const dir = await mkdtemp(join(tmpdir(), `reachflow-${name}-`));
  const remove = async () => {
    await downStack(dir);
    await rm(dir, { recursive: true, force: true });
  };
  try {
    const { endpoints } = await upStack({
      engine: 'embedded',
      dir,
      cacheDir: process.env['REACHFLOW_STACK_CACHE_DIR'] ?? stackConfigSchema.parse({}).cacheDir,
      components,
      onProgress: () => undefined,
    });
    return { dir, endpoints, remove };
  } catch (error) {
    await remove();
    throw error;
  }
}
