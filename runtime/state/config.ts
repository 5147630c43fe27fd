import { z } from 'zod';

/** The `state` section of the configuration. */
export const stateConfigSchema = z.strictObject({
  backend: z
    .enum(['lmdb', 'memory'])
    .default('lmdb')
    .describe(
      'Where tasks keep their state: lmdb on disk, which survives a restart, or memory, restored from the changelog.',
    ),
  dir: z
    .string()
    .min(1)
    .default('.reachflow/state')
    .describe(
      'Directory of the state of this machine’s tasks; workers on one machine may share it.',
    ),
});

export type StateConfig = z.infer<typeof stateConfigSchema>;
