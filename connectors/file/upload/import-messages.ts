import { z } from 'zod';
import { errorMessage, ReachflowError } from '../../../runtime/errors.ts';
import type { KafkaConfig, RegistryConfig } from '../../../runtime/kafka/config.ts';
import type { ImportOptions } from '../import-options.ts';

/** What a process that imports is told once, before anything else. */
export interface ImportSettings {
  readonly kafka: KafkaConfig;
  readonly registry: RegistryConfig;
  /** The least severe lines that it writes, to standard output as all workers do. */
  readonly logLevel: string;
}

/** One import for it. */
export type ImportTask = Required<
  Pick<ImportOptions, 'path' | 'map' | 'directory' | 'maxRejects'>
> & {
  readonly name: string;
};

/** What the process that started it says. It is the same program, so nothing is checked. */
export type ImportCommand =
  | { readonly type: 'settings'; readonly settings: ImportSettings }
  | { readonly type: 'import'; readonly task: ImportTask }
  /** The import under way ends between two rows. */
  | { readonly type: 'stop' };

const progress = z.object({
  importId: z.string(),
  rows: z.int(),
  rejected: z.int(),
  done: z.number().optional(),
});

const result = z.object({
  importId: z.string(),
  outcome: z.enum(['finished', 'already']),
  rows: z.int(),
  rejected: z.int(),
  fileBytes: z.int(),
  resumedAt: z.int(),
  rejectsPath: z.string(),
});

const failure = z.object({
  code: z.string(),
  message: z.string(),
  domain: z.enum(['user', 'external', 'internal']),
  retry: z.enum(['none', 'backoff']),
  hint: z.string().optional(),
});

const reportSchema = z.discriminatedUnion('type', [
  z.object({ type: z.literal('progress'), progress }),
  z.object({ type: z.literal('done'), result }),
  z.object({ type: z.literal('failed'), failure }),
]);

/** What a process that imports says. */
export type ImportReport = z.output<typeof reportSchema>;

/** A message of ours; undefined for anything else that comes through the channel. */
export function parseReport(message: unknown): ImportReport | undefined {
  const parsed = reportSchema.safeParse(message);
  return parsed.success ? parsed.data : undefined;
}

/** An error as it goes through the channel. One of ours is tried again as it says; what nobody classified, too. */
export function failureOf(error: unknown): z.output<typeof failure> {
  if (!(error instanceof ReachflowError))
    return {
      code: 'UNEXPECTED',
      message: errorMessage(error),
      domain: 'internal',
      retry: 'backoff',
    };
  const { code, message, domain, retry, hint } = error;
  return { code, message, domain, retry, ...(hint === undefined ? {} : { hint }) };
}

/** That error, on the other side. */
export function errorOf({ message, hint, ...rest }: z.output<typeof failure>): ReachflowError {
  return new ReachflowError(message, { ...rest, ...(hint === undefined ? {} : { hint }) });
}
