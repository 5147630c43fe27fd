import { z } from 'zod';

/** The `workers` section of the configuration: how `reachflow run` spreads over processes. */
export const workersConfigSchema = z.strictObject({
  count: z
    .int()
    .min(0)
    .max(64)
    .default(1)
    .describe(
      'Worker processes of `reachflow run`; 1 runs all in one process, without a supervisor; 0 takes one per core.',
    ),
  memoryMb: z
    .int()
    .min(64)
    .max(65_536)
    .default(512)
    .describe(
      'Memory of one worker, MiB: its heap is sized by it, and a worker that stays above it is drained and restarted. Without a supervisor the process ends instead.',
    ),
  memoryCheckMs: z
    .int()
    .min(50)
    .max(60_000)
    .default(5_000)
    .describe('How often a worker looks at its memory, ms; three looks above in a row restart it.'),
  restartInitialMs: z
    .int()
    .min(1)
    .default(1_000)
    .describe('First wait before a worker that ended is started again, ms; it doubles each time.'),
  restartMaxMs: z.int().min(1).default(30_000).describe('Longest wait before such a start, ms.'),
  healthyMs: z
    .int()
    .min(1)
    .default(60_000)
    .describe('After this long ready, earlier failures of a worker are forgotten, ms.'),
  maxFailures: z
    .int()
    .min(1)
    .max(1_000)
    .default(10)
    .describe('Failures of one worker in a row that end all of it, with exit code 1.'),
  stopTimeoutMs: z
    .int()
    .min(100)
    .default(10_000)
    .describe('How long a stop may take before processes are killed, ms.'),
});

export type WorkersConfig = z.infer<typeof workersConfigSchema>;
