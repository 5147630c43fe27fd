import { z } from 'zod';

const DAY = 86_400_000;
const HOUR = 3_600_000;

/** A provider's section. @param freshMs for how long its answers are taken as they are. */
function providerSchema(what: string, freshMs: number) {
  return z
    .strictObject({
      url: z
        .url()
        .optional()
        .describe(`Where to ask for ${what}: POST of JSON. Nobody is asked when absent.`),
      key: z
        .string()
        .min(1)
        .optional()
        .meta({ secret: true })
        .describe('Sent as `Authorization: Bearer …`.'),
      batchSize: z.int().min(1).max(100).default(100).describe('Subjects of one request.'),
      lingerMs: z
        .int()
        .min(0)
        .max(1_000)
        .default(10)
        .describe('How long a request waits for more subjects, ms.'),
      concurrency: z
        .int()
        .min(1)
        .max(64)
        .default(4)
        .describe('Requests of a process under way at once.'),
      requestsPerSecond: z
        .int()
        .min(1)
        .max(10_000)
        .default(10)
        .describe('Requests of a process, at most; further attempts count.'),
      timeoutMs: z
        .int()
        .min(10)
        .max(60_000)
        .default(5_000)
        .describe('How long one attempt may take, ms.'),
      ttlMs: z
        .int()
        .min(1_000)
        .default(freshMs)
        .describe('For how long an answer is taken as it is, ms.'),
      staleMs: z
        .int()
        .min(0)
        .default(freshMs)
        .describe(
          'For how long after that it is still given at once, while a newer one is asked for behind it, ms.',
        ),
    })
    .prefault({});
}

const breakerSchema = z
  .strictObject({
    windowMs: z.int().min(1_000).default(60_000).describe('Over which requests are counted, ms.'),
    failureRatio: z
      .number()
      .min(0.01)
      .max(1)
      .default(0.5)
      .describe('Share of failed requests that opens the breaker of a provider.'),
    minimumCalls: z
      .int()
      .min(1)
      .default(10)
      .describe('Requests within the window before it may open.'),
    openMs: z
      .int()
      .min(10)
      .default(60_000)
      .describe('How long the provider is left alone then, ms: what is asked meanwhile fails.'),
    probes: z
      .int()
      .min(1)
      .default(3)
      .describe('Requests at the same time that probe it afterwards.'),
    successesToClose: z
      .int()
      .min(1)
      .default(5)
      .describe('Probes that have to succeed before it closes.'),
  })
  .prefault({});

const attemptsSchema = z
  .strictObject({
    times: z.int().min(1).max(10).default(3).describe('Attempts of one request.'),
    backoffMs: z
      .int()
      .min(1)
      .max(60_000)
      .default(200)
      .describe('Before the second, ms; it doubles, with jitter.'),
    maxBackoffMs: z
      .int()
      .min(1)
      .max(60_000)
      .default(60_000)
      .describe('Longest wait between two, ms; what a provider asks for with Retry-After, too.'),
  })
  .prefault({});

const askAgainSchema = z
  .strictObject({
    times: z
      .int()
      .min(0)
      .max(20)
      .default(5)
      .describe('How often a contact asks again by itself after its attempts have failed.'),
    afterMs: z
      .int()
      .min(100)
      .default(60_000)
      .describe('How long after that, ms; each time four times as long.'),
    maxAfterMs: z.int().min(100).default(DAY).describe('Longest wait before it asks again, ms.'),
  })
  .prefault({});

/** Anybody can have an address there: it says nothing of a company. */
const FREE_MAIL = [
  'gmail.com',
  'googlemail.com',
  'outlook.com',
  'hotmail.com',
  'live.com',
  'yahoo.com',
  'icloud.com',
  'me.com',
  'aol.com',
  'gmx.de',
  'gmx.net',
  'web.de',
  't-online.de',
  'mail.ru',
  'yandex.ru',
  'qq.com',
  '163.com',
  'proton.me',
  'protonmail.com',
];

/** The `enrichment` section of the configuration; it counts where `pipelines.optional` names enrichment. */
export const enrichmentConfigSchema = z.strictObject({
  source: z
    .enum(['contact.golden', 'contact.unified'])
    .default('contact.golden')
    .describe('Whose contacts are enriched: contact.unified is that of the optional identity.'),
  journal: z
    .enum(['write', 'read'])
    .default('write')
    .describe(
      'write: providers are called, and what they answer is written to enrichment.answered. read: it is read there and nobody is called, for a replay.',
    ),
  company: providerSchema('companies by domain', 30 * DAY),
  person: providerSchema('persons by e-mail address', 30 * DAY),
  verification: providerSchema('the deliverability of e-mail addresses', 7 * DAY),
  attempts: attemptsSchema.describe('How one request is tried.'),
  askAgain: askAgainSchema.describe('What a contact does about providers that failed.'),
  breaker: breakerSchema.describe('When the requests of a provider fail.'),
  patienceMs: z
    .int()
    .min(0)
    .max(5_000)
    .default(100)
    .describe('How long an epoch waits for answers, ms: what is later commits with another.'),
  maxUnderWay: z
    .int()
    .min(1)
    .max(1_000_000)
    .default(10_000)
    .describe('Subjects that a task asks about at once; beyond, its partition waits.'),
  freeMailDomains: z
    .array(z.string().min(1))
    .default(FREE_MAIL)
    .describe('Domains of e-mail addresses that belong to no company.'),
});

export type EnrichmentConfig = z.infer<typeof enrichmentConfigSchema>;
export type ProviderConfig = EnrichmentConfig['company'];

/** The longest that a subject's answer may be kept in a task's cache, ms. */
export const MAX_CACHE_MS = 365 * DAY;
/** How long answers are shared by the tasks of a process at most, ms. */
export const SHARED_MS = HOUR;
