import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from 'pino';
import { z } from 'zod';
import { backoffMs } from '../../runtime/backoff.ts';
import { errorMessage, ReachflowError } from '../../runtime/errors.ts';
import { basicAuthorization } from '../../schemas/registry.ts';
import type { ConnectConfig } from './config.ts';

const errorSchema = z.object({ message: z.string() });
const rootSchema = z.object({ version: z.string(), kafka_cluster_id: z.string() });

export type Method = 'GET' | 'PUT' | 'POST' | 'PATCH' | 'DELETE';

/**
 * Requests to Kafka Connect's REST API, each repeated within `connect.maxAttempts` while the cluster rebalances or
 * does not answer: only what is idempotent may be sent.
 * Both throw ReachflowError: `CONNECT_UNAVAILABLE` (retry: backoff), `CONNECT_URL_WRONG` (something else answers
 * there), `CONNECT_LOGIN_REFUSED` (401, 403), `CONNECT_CONFIG_INVALID` (400), `CONNECT_REJECTED` (any other refusal).
 */
export interface ConnectHttp {
  /** The answer's JSON; undefined where Connect does not know what is asked for. */
  get<T>(what: string, path: string, answer: z.ZodType<T>): Promise<T | undefined>;
  /** The answer's status. Throws `CONNECT_NOT_FOUND`, too. */
  send(what: string, method: Method, path: string, body?: unknown): Promise<number>;
}

/** Rebalancing (409) and trouble of the server or between here and there pass by themselves. */
function isTransient(status: number): boolean {
  return status === 409 || status === 429 || status >= 500;
}

async function messageOf(response: Response): Promise<string> {
  const text = await response.text();
  try {
    return errorSchema.parse(JSON.parse(text)).message;
  } catch {
    return text.slice(0, 200);
  }
}

function refusal(what: string, status: number, message: string): ReachflowError {
  const detail = `Kafka Connect refused to ${what}: ${status} ${message}`;
  if (status === 404) {
    return new ReachflowError(detail, {
      code: 'CONNECT_NOT_FOUND',
      domain: 'user',
      hint: '`reachflow connectors status --all` lists what there is, `reachflow connectors apply` creates ours.',
    });
  }
  if (status === 401 || status === 403) {
    return new ReachflowError(detail, {
      code: 'CONNECT_LOGIN_REFUSED',
      domain: 'user',
      hint: 'Check connect.username and connect.password, and what that user may do.',
    });
  }
  if (status === 400) {
    return new ReachflowError(detail, {
      code: 'CONNECT_CONFIG_INVALID',
      domain: 'user',
      hint: 'The message names the setting; a class that is not found is missing on the worker plugin.path.',
    });
  }
  const hint = 'The log of the Connect worker has the cause.';
  return new ReachflowError(detail, { code: 'CONNECT_REJECTED', domain: 'external', hint });
}

function unavailable(config: ConnectConfig, what: string, cause: unknown): ReachflowError {
  return new ReachflowError(
    `Kafka Connect at ${config.url} could not ${what} in ${config.maxAttempts} attempts: ${errorMessage(cause)}`,
    {
      code: 'CONNECT_UNAVAILABLE',
      domain: 'external',
      retry: 'backoff',
      hint: 'Is it running, and is connect.url right? `reachflow stack status` shows the embedded one.',
      cause,
    },
  );
}

function wrongUrl(config: ConnectConfig): ReachflowError {
  return new ReachflowError(`what answers at ${config.url} is not Kafka Connect`, {
    code: 'CONNECT_URL_WRONG',
    domain: 'user',
    hint: "Set connect.url to the root of a worker's REST API, e.g. http://127.0.0.1:8083; `curl` it: it names its version and kafka_cluster_id.",
  });
}

/** Does not connect until its first call. */
export function createConnectHttp(config: ConnectConfig, logger: Logger): ConnectHttp {
  const root = config.url.replace(/\/+$/, '');

  function request(method: Method, path: string, body?: unknown): Promise<Response> {
    return fetch(root + path, {
      method,
      signal: AbortSignal.timeout(config.requestTimeoutMs),
      headers: {
        ...basicAuthorization(config),
        accept: 'application/json',
        'content-type': 'application/json',
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
  }

  async function call(
    what: string,
    method: Method,
    path: string,
    body?: unknown,
  ): Promise<Response> {
    let last: unknown;
    for (let attempt = 1; attempt <= config.maxAttempts; attempt += 1) {
      try {
        const response = await request(method, path, body);
        if (response.ok || !isTransient(response.status)) return response;
        last = new Error(`${response.status} ${await messageOf(response)}`);
      } catch (error) {
        last = error;
      }
      logger.debug({ what, attempt, err: last }, 'Kafka Connect: attempt failed');
      if (attempt < config.maxAttempts) {
        await delay(backoffMs(attempt, { initialMs: 200, maxMs: 3_000 }));
      }
    }
    throw unavailable(config, what, last);
  }

  /** Any HTTP server answers 404 to a path that it does not know: only Connect's own means what it says. */
  async function checkIsConnect(what: string): Promise<void> {
    const response = await call(what, 'GET', '/');
    const body: unknown = await response.json().catch(() => undefined);
    if (!response.ok || !rootSchema.safeParse(body).success) throw wrongUrl(config);
  }

  return {
    async get(what, path, answer) {
      const response = await call(what, 'GET', path);
      if (response.ok) {
        const body = answer.safeParse(await response.json().catch(() => undefined));
        if (!body.success) throw wrongUrl(config);
        return body.data;
      }
      const message = await messageOf(response);
      if (response.status === 404) {
        await checkIsConnect(what);
        return undefined;
      }
      throw refusal(what, response.status, message);
    },
    async send(what, method, path, body) {
      const response = await call(what, method, path, body);
      const message = await messageOf(response);
      if (response.ok) return response.status;
      if (response.status === 404 || response.status === 405) await checkIsConnect(what);
      throw refusal(what, response.status, message);
    },
  };
}
