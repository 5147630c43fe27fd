import { z } from 'zod';

const MIB = 1_048_576;

/** Settings of a spool: `webhook.spool`. */
export const spoolConfigSchema = z.strictObject({
  enabled: z
    .boolean()
    .default(true)
    .describe('Keep events on disk while the brokers are away, instead of refusing them.'),
  dir: z
    .string()
    .min(1)
    .default('.reachflow/spool')
    .describe(
      'Directory for them, on a disk that survives a restart; each process takes a place of its own in it.',
    ),
  maxBytes: z
    .int()
    .min(MIB)
    .default(1_024 * MIB)
    .describe('Most bytes that a process keeps there; beyond it events are answered with 503.'),
  segmentBytes: z
    .int()
    .min(65_536)
    .max(256 * MIB)
    .default(16 * MIB)
    .describe('Size of one file there, bytes; draining reads one at a time.'),
  patienceMs: z
    .int()
    .min(10)
    .default(1_000)
    .describe('How long a batch waits for its acks before it goes to the spool, ms.'),
});

export type SpoolConfig = z.infer<typeof spoolConfigSchema>;
