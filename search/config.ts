import { z } from 'zod';
import { bearerTokens } from '../runtime/http/bearer.ts';

const tenant = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/);

/** Who may search, and in what. */
const clientSchema = z.strictObject({
  tokens: bearerTokens,
  tenants: z
    .union([z.literal('*'), z.array(tenant).min(1).max(1_000)])
    .describe('Whose contacts it finds. `*` is everybody’s.'),
  pii: z
    .enum(['masked', 'shown'])
    .default('masked')
    .describe(
      'Whether it sees e-mail addresses and phone numbers, and finds contacts by them; masked: j***@example.com.',
    ),
  maxConcurrent: z
    .int()
    .min(1)
    .max(1_000)
    .default(8)
    .describe('Searches of it under way at one time; more are answered with 429.'),
});

/** The `search` section of the configuration. */
export const searchConfigSchema = z.strictObject({
  host: z.string().min(1).default('127.0.0.1').describe('Address to listen on; 0.0.0.0 for all.'),
  port: z.int().min(0).max(65_535).default(8087).describe('Port to listen on; 0 takes a free one.'),
  contacts: z
    .enum(['contact.golden', 'contact.unified'])
    .default('contact.golden')
    .describe(
      'Topic whose index in Elasticsearch is searched; the latter is the pipeline identity’s.',
    ),
  timeoutMs: z
    .int()
    .min(50)
    .max(60_000)
    .default(2_000)
    .describe('How long a search may take, ms; then it is answered with 503.'),
  maxConcurrent: z
    .int()
    .min(1)
    .max(1_000)
    .default(32)
    .describe('Searches of a process under way at one time; more are answered with 503.'),
  maxAgeMs: z
    .int()
    .min(0)
    .max(60_000)
    .default(1_000)
    .describe(
      'How old the snapshot of the index may be that a new search sees, ms: searches within that time share one.',
    ),
  cursorIdleMs: z
    .int()
    .min(1_000)
    .max(3_600_000)
    .default(120_000)
    .describe('How long a cursor is good for after the page that it came with, ms.'),
  cursorLifeMs: z
    .int()
    .min(1_000)
    .max(86_400_000)
    .default(1_800_000)
    .describe('How long one may page through a result in all, ms: its snapshot is kept that long.'),
  cursorSecret: z
    .union([z.literal(''), z.string().min(32).max(512)])
    .default('')
    .meta({ secret: true })
    .describe(
      'What cursors are sealed with, 32 characters or more: the same for all instances behind one address. Without it each process has its own, and a restart ends its cursors.',
    ),
  clients: z
    .record(z.string().regex(/^[a-z0-9][a-z0-9_-]{0,63}$/), clientSchema)
    .default({})
    .describe('Who may search by HTTP: GET /api/v1/contacts/search.'),
});

export type SearchConfig = z.infer<typeof searchConfigSchema>;
