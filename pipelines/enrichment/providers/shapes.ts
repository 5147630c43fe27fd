import { z } from 'zod';
import type { Answer, ProviderKind } from './provider.ts';

/**
 * The JSON of requests and answers, a version of each provider kind:
 *
 *     POST {"domains": ["acme.example"]}          company
 *     POST {"emails": ["ada@acme.example"]}       person, verification
 *     200  {"results": [{"domain" | "email": …, "status": "found" | "not_found", …}]}
 *
 * Results may be in any order; one that does not fit makes its own subject fail, not the others.
 */
interface Shape {
  readonly request: 'domains' | 'emails';
  readonly subject: 'domain' | 'email';
  /** The facts of a result. @throws z.ZodError where they do not fit. */
  facts(result: unknown): Readonly<Record<string, string>>;
}

const text = z.string().trim().min(1).max(500);
const optional = text.nullish();

const companySchema = z.object({
  name: text,
  industry: optional,
  employees: z.int().min(0).max(10_000_000).nullish(),
  country: z
    .string()
    .regex(/^[A-Z]{2}$/)
    .nullish(),
});

const personSchema = z.object({
  job_title: optional,
  seniority: optional,
  location: optional,
  social_profiles: z.array(z.url().max(500)).max(20).default([]),
});

const verificationSchema = z.object({
  result: z.enum(['deliverable', 'undeliverable', 'risky', 'unknown']),
});

/** Without what is not said. */
function said(
  facts: Readonly<Record<string, string | number | null | undefined>>,
): Readonly<Record<string, string>> {
  return Object.fromEntries(
    Object.entries(facts).flatMap(([field, value]) =>
      value === null || value === undefined || value === '' ? [] : [[field, String(value)]],
    ),
  );
}

const shapes: Readonly<Record<ProviderKind, Shape>> = {
  company: {
    request: 'domains',
    subject: 'domain',
    facts: (result) => {
      const { name, ...facts } = companySchema.parse(result);
      return said({ company: name, ...facts });
    },
  },
  person: {
    request: 'emails',
    subject: 'email',
    facts: (result) => {
      const { social_profiles, ...facts } = personSchema.parse(result);
      // URLs have no spaces.
      return said({ ...facts, social_profiles: social_profiles.join(' ') });
    },
  },
  verification: {
    request: 'emails',
    subject: 'email',
    facts: (result) => ({ email_status: verificationSchema.parse(result).result }),
  },
};

const bodySchema = z.object({ results: z.array(z.looseObject({})).max(1_000) });
const statusSchema = z.object({ status: z.enum(['found', 'not_found']) });

/** The body of a request. */
export function requestBody(kind: ProviderKind, subjects: readonly string[]): string {
  return JSON.stringify({ [shapes[kind].request]: subjects });
}

/**
 * Reads the body of an answer: what fits of it, and for every other subject why not.
 * @returns undefined when the body as a whole is no answer.
 */
export function readAnswers(
  kind: ProviderKind,
  subjects: readonly string[],
  body: unknown,
): ReadonlyMap<string, Answer> | undefined {
  const parsed = bodySchema.safeParse(body);
  if (!parsed.success) return undefined;
  const shape = shapes[kind];
  const results = new Map(parsed.data.results.map((result) => [result[shape.subject], result]));
  return new Map(subjects.map((subject) => [subject, readAnswer(shape, results.get(subject))]));
}

function readAnswer(shape: Shape, result: unknown): Answer {
  if (result === undefined) return { outcome: 'failed', reason: 'the answer leaves it out' };
  try {
    const { status } = statusSchema.parse(result);
    return status === 'found'
      ? { outcome: 'found', fields: shape.facts(result) }
      : { outcome: 'not_found' };
  } catch (error) {
    if (!(error instanceof z.ZodError)) throw error;
    return { outcome: 'failed', reason: `the answer does not fit: ${problems(error)}` };
  }
}

/** Paths, and what zod says of them; never values, which are personal. */
function problems({ issues }: z.ZodError): string {
  return issues
    .slice(0, 3)
    .map(({ path, code }) => `${path.join('.')} (${code})`)
    .join(', ');
}
