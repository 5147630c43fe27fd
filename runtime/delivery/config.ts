import { z } from 'zod';

const breakerSchema = z
  .strictObject({
    windowMs: z.int().min(1_000).default(60_000).describe('Over which writes are counted, ms.'),
    failureRatio: z
      .number()
      .min(0.01)
      .max(1)
      .default(0.5)
      .describe('Share of failed writes that opens the breaker of a store.'),
    minimumWrites: z
      .int()
      .min(1)
      .default(20)
      .describe('Writes within the window before it may open.'),
    openMs: z
      .int()
      .min(10)
      .default(60_000)
      .describe(
        'How long a store is left alone then, ms. Its partitions wait; nothing goes to the DLQ.',
      ),
    probes: z.int().min(1).default(3).describe('Writes at the same time that probe it afterwards.'),
    successesToClose: z
      .int()
      .min(1)
      .default(5)
      .describe('Probes that have to succeed in a row before all write again.'),
  })
  .prefault({})
  .describe('When the writes of a store fail.');

const parkingSchema = z
  .strictObject({
    attempts: z
      .int()
      .min(1)
      .max(20)
      .default(3)
      .describe(
        'How often a record that may heal is tried again by itself before it goes to the DLQ.',
      ),
    initialMs: z.int().min(1).default(5_000).describe('Before the first of them, ms; it doubles.'),
    maxMs: z.int().min(1).max(600_000).default(60_000).describe('Longest wait before a try, ms.'),
    maxRecords: z
      .int()
      .min(1)
      .max(1_000_000)
      .default(10_000)
      .describe('Records of a partition that may wait so; beyond, the partition waits.'),
    maxBytes: z
      .int()
      .min(1_024)
      .default(67_108_864)
      .describe('Their bytes in all partitions of a sink, each with its share; beyond, it waits.'),
  })
  .prefault({})
  .describe(
    'Records that a store does not take now and may take later: they wait in the retry topic.',
  );

const alertSchema = z
  .strictObject({
    url: z
      .url()
      .optional()
      .meta({ secret: true })
      .describe('Where to POST when a sink rejects too much; nowhere when absent.'),
    format: z
      .enum(['json', 'slack'])
      .default('json')
      .describe("The payload: Reachflow's own, or text for a Slack incoming webhook."),
    ratio: z
      .number()
      .min(0.001)
      .max(1)
      .default(0.05)
      .describe('Share of rejected records within a minute that raises the alert.'),
    minimumRecords: z
      .int()
      .min(1)
      .default(100)
      .describe('Records within that minute below which nothing is said.'),
  })
  .prefault({})
  .describe('The alert hook.');

/** The `delivery` section: how sinks batch, retry and raise the alarm. */
export const deliveryConfigSchema = z.strictObject({
  minBytes: z
    .int()
    .min(1)
    .max(10_000_000)
    .default(131_072)
    .describe('Brokers answer a fetch once this many bytes wait…'),
  maxWaitMs: z
    .int()
    .min(10)
    .max(5_000)
    .default(250)
    .describe('…or once this much time has passed, ms.'),
  bufferBytes: z
    .int()
    .min(1_048_576)
    .default(33_554_432)
    .describe('Bytes that a sink holds of what it has read and not written, over all partitions.'),
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
  breaker: breakerSchema,
  parking: parkingSchema,
  alert: alertSchema,
});

export type DeliveryConfig = z.infer<typeof deliveryConfigSchema>;
