import { z } from 'zod';
import {
  entityPointers,
  eventFields,
  jsonPointer,
  namesTenant,
  sourceName,
  TENANT_NEEDED,
} from '../event-source.ts';

const MIB = 1_048_576;
const parameter = z.string().regex(/^[\w.[\]-]{1,64}$/, 'the name of a query parameter');
const pageSize = z.int().min(1).max(100_000).default(100).describe('Records of a full page.');
const sizeParameter = parameter
  .optional()
  .describe('Query parameter for the size; without, the URL says it.');

/** How to come from a page to the next one. */
const pagingSchema = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('none').describe('One document has it all.') }),
  z.strictObject({
    kind: z.literal('cursor').describe('The body names the cursor of the next page.'),
    pointer: jsonPointer.describe('Where the body has the cursor: text or a number.'),
    parameter: parameter.default('cursor').describe('Query parameter that takes it.'),
    hasMorePointer: jsonPointer
      .optional()
      .describe('Where the body says whether there is more, if it does: false ends a round.'),
  }),
  z.strictObject({ kind: z.literal('link').describe('RFC 8288: a Link header with rel="next".') }),
  z.strictObject({
    kind: z.literal('page').describe('Numbered pages; one that is not full is the last.'),
    parameter: parameter.default('page').describe('Query parameter of the number.'),
    first: z.int().min(0).max(1).default(1).describe('Number of the first page.'),
    size: pageSize,
    sizeParameter,
  }),
  z.strictObject({
    kind: z.literal('offset').describe('Position of the first record of a page.'),
    parameter: parameter.default('offset').describe('Query parameter of the position.'),
    size: pageSize,
    sizeParameter,
  }),
]);

const sourceSchema = z
  .strictObject({
    url: z
      .url({ protocol: /^https?$/ })
      .describe(
        'What to get. {cursor}, {page} or {offset} stand for the position, if not a query parameter.',
      ),
    headers: z.record(z.string(), z.string()).default({}).describe('Request headers.'),
    secretHeaders: z
      .record(z.string(), z.string())
      .default({})
      .meta({ secret: true })
      .describe(
        'Request headers that are never shown, e.g. authorization; sent to the origin of the URL only.',
      ),
    intervalMs: z
      .int()
      .min(100)
      .default(60_000)
      .describe('From the end of a round to the next one, ms.'),
    format: z
      .enum(['json', 'csv'])
      .default('json')
      .describe('CSV has its columns in the first row.'),
    itemsPointer: jsonPointer
      .optional()
      .describe('Where the body has the list of records; without, the body is the list.'),
    paging: pagingSchema.default({ kind: 'none' }),
    rounds: z
      .enum(['continue', 'restart'])
      .default('continue')
      .describe(
        'continue: new records come at the end, what was read is not read again. restart: each round begins at the first page.',
      ),
    idPointers: z
      .array(jsonPointer)
      .min(1)
      .max(4)
      .default(['/id'])
      .describe(
        'Where a record has its id; several are joined, e.g. id and update time where a record comes again when it changes. Without a value there, the SHA-256 of the record.',
      ),
    eventType: z
      .string()
      .min(1)
      .max(200)
      .default('record')
      .describe('Type of its events, unless eventTypePointer finds one.'),
    ...eventFields,
    entityPointers: entityPointers('/id'),
    requestsPerMinute: z.int().min(1).max(60_000).default(60).describe('Most requests a minute.'),
    recordsPerMinute: z
      .int()
      .min(1)
      .max(10_000_000)
      .default(10_000)
      .describe('Most records a minute, on average: the next page waits.'),
    timeoutMs: z.int().min(100).max(600_000).default(30_000).describe('Time for one answer, ms.'),
    maxResponseBytes: z
      .int()
      .min(1_024)
      .max(256 * MIB)
      .default(16 * MIB)
      .describe('Largest answer, decompressed, bytes.'),
    maxBackoffMs: z
      .int()
      .min(100)
      .default(60_000)
      .describe(
        'Longest pause between attempts of a request that fails, ms; Retry-After may ask for more.',
      ),
    maxRedirects: z.int().min(0).max(20).default(5).describe('Redirects that are followed.'),
    allowedHosts: z
      .array(z.string().min(1))
      .max(20)
      .default([])
      .describe('host[:port] that redirects and Link headers may lead to, beside that of the URL.'),
    allowPrivateNetwork: z
      .boolean()
      .default(false)
      .describe('Also connect to loopback, private and link-local addresses.'),
  })
  .refine(namesTenant, { message: TENANT_NEEDED });

/** The `httpPoll` section of the configuration. */
export const httpPollConfigSchema = z.strictObject({
  sources: z
    .record(sourceName, sourceSchema)
    .default({})
    .describe('What to pull: each source is pulled by one process at a time.'),
});

export type HttpPollConfig = z.infer<typeof httpPollConfigSchema>;
export type PollSource = z.infer<typeof sourceSchema>;
export type Paging = PollSource['paging'];
