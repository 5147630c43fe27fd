import { z } from 'zod';
import { DLQ_RETENTION_MS, topics } from '../../schemas/topics.ts';
import { s3ConfigSchema } from '../checkpoint/config.ts';

const DAY_MS = 86_400_000;
const RECEIVED_DAYS = topics['webhook.received'].retentionMs / DAY_MS;
const LETTER_DAYS = DLQ_RETENTION_MS / DAY_MS;

/** In its topic, then in the DLQ: the longest that a record waits for its first delivery or redrive, days. */
export const MIN_RETENTION_DAYS = RECEIVED_DAYS + LETTER_DAYS;

/** The `claimCheck` section of the configuration: large payloads are kept beside the topic, by their content. */
export const claimCheckConfigSchema = z.strictObject({
  enabled: z
    .boolean()
    .default(true)
    .describe(
      'Whether large payloads are written there. What is there already is read in any case; turn it off while processes run that know no claim check.',
    ),
  thresholdBytes: z
    .int()
    .min(256)
    .max(5_242_880)
    .default(4_096)
    .describe('Payloads that are larger are kept beside the topic, bytes.'),
  storage: z
    .enum(['directory', 's3'])
    .default('directory')
    .describe(
      'Where payloads are kept. All hosts need the same: directory is for one host, or for a directory that all of them mount.',
    ),
  directory: z
    .string()
    .min(1)
    .default('.reachflow/claims')
    .describe(
      'Directory of storage directory, relative to the working directory. A record whose payload is not in it waits, with its partition: with several hosts it has to be a shared one.',
    ),
  retentionDays: z
    .int()
    .min(MIN_RETENTION_DAYS)
    .max(3_650)
    .default(MIN_RETENTION_DAYS + LETTER_DAYS)
    .describe(
      'How long a payload is kept, days: longer than a record may be in its topic, retry topic and DLQ. By default that of the topic and twice that of the DLQ.',
    ),
  sweepIntervalMs: z
    .int()
    .min(1_000)
    .default(3_600_000)
    .describe('How often the first worker removes what is older, ms.'),
  writeTimeoutMs: z
    .int()
    .min(50)
    .max(60_000)
    .default(2_000)
    .describe(
      'How long a payload may take to be stored, ms. Then, or when the storage fails, it goes into the topic as it is.',
    ),
  concurrency: z
    .int()
    .min(1)
    .max(256)
    .default(16)
    .describe('Payloads that a process reads at the same time, and that it writes.'),
  cacheBytes: z
    .int()
    .min(0)
    .default(16_777_216)
    .describe('Payloads that a process keeps in memory for further readers, bytes.'),
  s3: s3ConfigSchema.prefault({}).describe('Storage s3: any service with the S3 API.'),
});

export type ClaimCheckConfig = z.infer<typeof claimCheckConfigSchema>;
