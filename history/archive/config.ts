import { z } from 'zod';
import { s3ConfigSchema } from '../../runtime/checkpoint/config.ts';

/** The `archive` section of the configuration: records beyond the brokers' retention. */
export const archiveConfigSchema = z.strictObject({
  storage: z.enum(['directory', 's3']).default('directory').describe('Where segments are kept.'),
  directory: z
    .string()
    .min(1)
    .default('.reachflow/archive')
    .describe('Directory of storage directory, relative to the working directory.'),
  segmentBytes: z
    .int()
    .min(1_048_576)
    .max(1_073_741_824)
    .default(67_108_864)
    .describe('A segment is closed when it has so many bytes before compression.'),
  segmentAgeMs: z
    .int()
    .min(0)
    .default(3_600_000)
    .describe('A segment that is not full is closed when its first record is older, ms.'),
  retentionDays: z
    .int()
    .min(0)
    .max(36_500)
    .default(0)
    .describe(
      'Segments whose newest record is older are removed by `archive prune`, days; 0: none ever.',
    ),
  s3: s3ConfigSchema.prefault({}).describe('Storage s3: any service with the S3 API.'),
});

export type ArchiveConfig = z.infer<typeof archiveConfigSchema>;
