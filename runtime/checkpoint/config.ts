import { z } from 'zod';

/** A place in a bucket: of checkpoints, of payloads. */
export const s3ConfigSchema = z.strictObject({
  endpoint: z
    .url({ protocol: /^https?$/ })
    .optional()
    .describe('URL of the S3 service; absent: that of AWS for the region.'),
  region: z.string().min(1).default('us-east-1').describe('Region of the bucket.'),
  bucket: z.string().default('').describe('Bucket; it must exist.'),
  prefix: z
    .string()
    .regex(
      /^([A-Za-z0-9_-][A-Za-z0-9._-]*(\/[A-Za-z0-9_-][A-Za-z0-9._-]*)*)?$/,
      'path segments with / between them',
    )
    .default('')
    .describe('Where in the bucket things are kept, e.g. team/checkpoints.'),
  forcePathStyle: z
    .boolean()
    .default(false)
    .describe(
      'Address the bucket by path, not by host name: most services other than AWS need it.',
    ),
  accessKeyId: z
    .string()
    .default('')
    .describe(
      'Access key; empty: credentials come from where AWS clients look for them (environment, profile, role).',
    ),
  secretAccessKey: z
    .string()
    .default('')
    .describe('Secret of the access key.')
    .meta({ secret: true }),
  partBytes: z
    .int()
    .min(5_242_880)
    .max(134_217_728)
    .default(8_388_608)
    .describe(
      'Files are moved in parts of this size, three at a time: what an upload takes of memory, bytes.',
    ),
  requestTimeoutMs: z
    .int()
    .min(100)
    .max(600_000)
    .default(30_000)
    .describe('How long a request may take before it is tried again, ms.'),
  maxAttempts: z
    .int()
    .min(1)
    .max(20)
    .default(4)
    .describe('How often a request is tried, with back-off, before it is given up.'),
});

/** The `checkpoint` section of the configuration: copies of the tasks' state that survive the machine. */
export const checkpointConfigSchema = z.strictObject({
  target: z
    .enum(['none', 'directory', 's3'])
    .default('directory')
    .describe(
      'Where checkpoints are kept. none: there are none, and a lost state is rebuilt from the whole changelog.',
    ),
  directory: z
    .string()
    .min(1)
    .default('.reachflow/checkpoints')
    .describe(
      'Directory of target directory, relative to the working directory. It protects from the loss of a machine only when it is on another, such as a mounted volume.',
    ),
  intervalMs: z
    .int()
    .min(1_000)
    .default(60_000)
    .describe('How often the state of a task is saved, if it changed, ms.'),
  everyRecords: z
    .int()
    .min(0)
    .default(500_000)
    .describe(
      'Also after so many input records of a task, whichever comes first; 0: by time only.',
    ),
  keep: z
    .int()
    .min(1)
    .max(1_000)
    .default(3)
    .describe('Newest checkpoints of a task that are kept.'),
  concurrency: z
    .int()
    .min(1)
    .max(64)
    .default(1)
    .describe('Checkpoints that a process writes at the same time.'),
  timeoutMs: z
    .int()
    .min(1_000)
    .default(600_000)
    .describe(
      'How long one checkpoint may take before it is given up until the next interval, ms.',
    ),
  s3: s3ConfigSchema.prefault({}).describe('Target s3: any service with the S3 API.'),
});

export type CheckpointConfig = z.infer<typeof checkpointConfigSchema>;
export type S3Config = z.infer<typeof s3ConfigSchema>;
