import csr from '@kafkajs/confluent-schema-registry';
import { ExponentialBackoff, handleWhenResult, retry } from 'cockatiel';
import { errorMessage, ReachflowError } from '../runtime/errors.ts';
import type { Type } from './avro.ts';

const { SchemaRegistry, SchemaType } = csr;

/** Registers and looks up schemas in a Confluent-compatible registry. */
export interface SchemaRegistryClient {
  /**
   * Registers a schema under a subject with BACKWARD compatibility and returns its id. Idempotent.
   * @throws ReachflowError `SCHEMA_INCOMPATIBLE`, or `REGISTRY_UNAVAILABLE` (retry: backoff).
   */
  register(subject: string, schemaText: string): Promise<number>;
  /** The writer's type of an id. @throws ReachflowError `SCHEMA_UNKNOWN` or `REGISTRY_UNAVAILABLE`. */
  writerType(id: number): Promise<Type>;
}

/** Statuses by which a registry refuses a schema. */
const REFUSED: ReadonlySet<number> = new Set([409, 422]);

/** How often a rule is set again that another process is setting at the same moment, and the longest wait, ms. */
const RULE_RETRIES = 8;
const RULE_WAIT_MS = 1_000;

/** 409 on a rule is not about a schema: Apicurio answers it to all but one of those that set it at the same moment. */
const whileContested = retry(
  handleWhenResult((status) => status === 409),
  {
    maxAttempts: RULE_RETRIES,
    backoff: new ExponentialBackoff({ initialDelay: 50, maxDelay: RULE_WAIT_MS }),
  },
);

function statusOf(error: unknown): number | undefined {
  const status = (error as { status?: unknown } | null)?.status;
  return typeof status === 'number' ? status : undefined;
}

/** Statuses by which a registry does not let us in. */
const NOT_LET_IN: ReadonlySet<number> = new Set([401, 403]);

function unavailable(url: string, cause: unknown): ReachflowError {
  if (NOT_LET_IN.has(statusOf(cause) ?? 0))
    return new ReachflowError(
      `schema registry at ${url} does not let us in: ${errorMessage(cause)}`,
      {
        code: 'REGISTRY_LOGIN_REFUSED',
        domain: 'user',
        // A password may be about to be rotated: no record is given up for it.
        retry: 'backoff',
        hint: 'Check registry.username and registry.password, and what that user may do.',
        cause,
      },
    );
  return new ReachflowError(`schema registry at ${url} does not answer: ${errorMessage(cause)}`, {
    code: 'REGISTRY_UNAVAILABLE',
    domain: 'external',
    retry: 'backoff',
    hint: 'Is it running? `reachflow stack status` shows; registry.url says where it is looked for.',
    cause,
  });
}

/** HTTP Basic (RFC 7617); without a user, nothing is sent. */
export interface RegistryCredentials {
  readonly username: string;
  readonly password: string;
}

/** The header of HTTP Basic (RFC 7617); none without a user. */
export function basicAuthorization(credentials?: RegistryCredentials): Record<string, string> {
  if (credentials === undefined || credentials.username === '') return {};
  const { username, password } = credentials;
  return { authorization: `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}` };
}

/** @param url base of the Confluent API, e.g. `http://127.0.0.1:8081/apis/ccompat/v7`. */
export function createSchemaRegistryClient(
  url: string,
  credentials?: RegistryCredentials,
): SchemaRegistryClient {
  const hasUser = credentials !== undefined && credentials.username !== '';
  const registry = new SchemaRegistry({
    host: url,
    retry: { retries: 2 },
    ...(hasUser ? { auth: { ...credentials } } : {}),
  });
  const headers = basicAuthorization(credentials);
  return {
    async register(subject, schemaText) {
      await requireBackwardCompatibility(url, subject, headers);
      try {
        const schema = { type: SchemaType.AVRO, schema: schemaText } as const;
        return (await registry.register(schema, { subject })).id;
      } catch (error) {
        // 409 and 422 are its word on the schema; anything else is about the registry, or us, for now.
        if (!REFUSED.has(statusOf(error) ?? 0)) throw unavailable(url, error);
        throw new ReachflowError(
          `schema of ${subject} was refused by the registry: ${errorMessage(error)}`,
          {
            code: 'SCHEMA_INCOMPATIBLE',
            domain: 'user',
            hint: 'A new version must read what the old one wrote: give added fields a default, keep types and names.',
            cause: error,
          },
        );
      }
    },
    async writerType(id) {
      try {
        return (await registry.getSchema(id)) as unknown as Type;
      } catch (error) {
        if (statusOf(error) !== 404) throw unavailable(url, error);
        throw new ReachflowError(`schema id ${id} is not in the registry`, {
          code: 'SCHEMA_UNKNOWN',
          domain: 'external',
          hint: 'The record was written with another registry, or is not Avro in Confluent wire format.',
          cause: error,
        });
      }
    },
  };
}

/**
 * Gives the subject its own rule before the client registers to it: Apicurio reports NONE for a subject
 * without one, which the client takes for a conflict.
 */
async function requireBackwardCompatibility(
  url: string,
  subject: string,
  headers: Readonly<Record<string, string>>,
): Promise<void> {
  const status = await whileContested
    .execute(() => putBackwardCompatibility(url, subject, headers))
    .catch((error: unknown) => {
      throw unavailable(url, error);
    });
  if (status >= 300)
    throw unavailable(url, Object.assign(new Error(`${status} on PUT config`), { status }));
}

/** @returns the answer's status. @throws fetch's errors. */
async function putBackwardCompatibility(
  url: string,
  subject: string,
  headers: Readonly<Record<string, string>>,
): Promise<number> {
  const response = await fetch(`${url}/config/${encodeURIComponent(subject)}`, {
    method: 'PUT',
    headers: { ...headers, 'content-type': 'application/json' },
    body: JSON.stringify({ compatibility: 'BACKWARD' }),
    signal: AbortSignal.timeout(10_000),
  });
  await response.body?.cancel();
  return response.status;
}
