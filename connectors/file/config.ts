import { z } from 'zod';

const GIB = 1_073_741_824;

const fileSource = z.strictObject({
  tokens: z
    .array(z.string().regex(/^[\x21-\x7e]{16,512}$/, '16 to 512 printable characters, no spaces'))
    .min(1)
    .max(8)
    .meta({ secret: true })
    .describe('Active bearer tokens: add the new one, switch the sender, then remove the old one.'),
  map: z.string().min(1).describe('Map of its files: docs/guides/import.md.'),
});

/** The `file` section of the configuration. */
export const fileConfigSchema = z.strictObject({
  directory: z
    .string()
    .min(1)
    .default('.reachflow/imports')
    .describe('Where imports keep their rejects, and uploads their files. On a disk that stays.'),
  maxRejects: z
    .int()
    .min(0)
    .default(100_000)
    .describe('Rows of a file that may be rejected before its import stops.'),
  host: z
    .string()
    .min(1)
    .default('127.0.0.1')
    .describe('Address to take uploads on; 0.0.0.0 for all.'),
  port: z
    .int()
    .min(0)
    .max(65_535)
    .default(8090)
    .describe('Port to take uploads on; 0 takes a free one.'),
  maxUploadBytes: z
    .int()
    .min(1)
    .default(GIB)
    .describe('Largest file that is taken, bytes; larger is answered with 413.'),
  maxStoredBytes: z
    .int()
    .min(1)
    .default(16 * GIB)
    .describe(
      'Uploads on disk at one time, as announced, bytes; beyond it new ones are answered with 507.',
    ),
  maxUploads: z
    .int()
    .min(1)
    .default(1_000)
    .describe(
      'Uploads at one time, those that wait for their import included; more are answered with 503.',
    ),
  expiryHours: z
    .int()
    .min(1)
    .default(24)
    .describe('How long an upload may take before it is removed, h.'),
  keepDays: z
    .int()
    .min(1)
    .default(30)
    .describe('How long the state and the rejects of a finished upload are shown, days.'),
  sources: z
    .record(
      z.string().regex(/^[a-z0-9][a-z0-9_-]{0,63}$/, 'lower-case letters, digits, - and _'),
      fileSource,
    )
    .default({})
    .describe('Who may upload: tus at /uploads/<name>.'),
});

export type FileConfig = z.infer<typeof fileConfigSchema>;
export type FileSource = z.infer<typeof fileSource>;
