import { z } from 'zod';

/** The `delivery` section: how sinks batch and retry. */
export const deliveryConfigSchema = z.strictObject({
  minBytes: z
    .int()
    .min(1)
    .max(10_000_000)
    .default(131_072)
    .describe('A sink writes once this many bytes wait in a partition…'),
  maxWaitMs: z
    .int()
    .min(10)
    .max(5_000)
    .default(250)
    .describe('…or once this much time has passed, ms.'),
  retryInitialMs: z
    .int()
    .min(1)
    .default(200)
    .describe('First pause after a store could not take a batch, ms.'),
  retryMaxMs: z
    .int()
    .min(1)
    .max(60_000)
    .default(10_000)
    .describe('Longest pause between tries, ms.'),
  concurrency: z
    .int()
    .min(1)
    .max(64)
    .default(4)
    .describe('Partitions that one sink writes at the same time.'),
});

export type DeliveryConfig = z.infer<typeof deliveryConfigSchema>;
