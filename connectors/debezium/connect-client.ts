import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from 'pino';
import { z } from 'zod';
import { backoffMs } from '../../runtime/backoff.ts';
import { errorMessage, ReachflowError } from '../../runtime/errors.ts';
import type { ConnectConfig } from './config.ts';

const statePart = {
  state: z.string(),
  worker_id: z.string().optional(),
  trace: z.string().optional(),
};
const statusSchema = z.object({
  name: z.string(),
  connector: z.object(statePart),
  tasks: z.array(z.object({ id: z.int(), ...statePart })),
});
const configSchema = z.record(z.string(), z.string().nullable());
const errorSchema = z.object({ message: z.string() });

/** State of a connector and of each of its tasks: a task can be FAILED while its connector says RUNNING. */
export type ConnectorState = z.infer<typeof statusSchema>;

export type ApplyResult = 'created' | 'updated' | 'unchanged';

/**
 * The part of Kafka Connect's REST API that we need. Every call is repeated, within `connect.maxAttempts`, while the
 * cluster rebalances or does not answer; all of them are idempotent.
 * Every method throws ReachflowError: `CONNECT_UNAVAILABLE` (retry: backoff), `CONNECT_CONFIG_INVALID` (400),
 * `CONNECT_NOT_FOUND` (404), `CONNECT_REJECTED` (any other answer).
 */
export interface ConnectClient {
  /** Creates the connector, or changes its configuration if it differs. */
  apply(name: string, config: Readonly<Record<string, string>>): Promise<ApplyResult>;
  /** Undefined when there is no such connector, or not yet: right after its creation it has no status. */
  status(name: string): Promise<ConnectorState | undefined>;
  /** Restarts the connector and tasks that are FAILED, no others (KIP-745). */
  restartFailed(name: string): Promise<void>;
  /** Lets a stopped or paused one run again. */
  resume(name: string): Promise<void>;
  /** Ends its tasks, which frees the slot, and keeps configuration and offsets (KIP-875). */
  stop(name: string): Promise<void>;
  /** Forgets how far it has read; only when stopped (KIP-875). */
  resetOffsets(name: string): Promise<void>;
  /** Deletes it; one that does not exist is fine. */
  delete(name: string): Promise<void>;
}

type Method = 'GET' | 'PUT' | 'POST' | 'DELETE';

/** Rebalancing (409) and trouble of the server or between here and there pass by themselves. */
function isTransient(status: number): boolean {
  return status === 409 || status === 429 || status >= 500;
}

async function messageOf(response: Response): Promise<string> {
  const text = await response.text();
  try {
    return errorSchema.parse(JSON.parse(text)).message;
  } catch {
    return text.slice(0, 500);
  }
}

function refusal(what: string, status: number, message: string): ReachflowError {
  const detail = `Kafka Connect refused to ${what}: ${status} ${message}`;
  if (status === 404) {
    const hint = 'Has the connector been deleted by someone else? Start again to create it.';
    return new ReachflowError(detail, { code: 'CONNECT_NOT_FOUND', domain: 'external', hint });
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

/** Does not connect until its first call. */
export function createConnectClient(config: ConnectConfig, logger: Logger): ConnectClient {
  async function call(
    what: string,
    method: Method,
    path: string,
    body?: unknown,
  ): Promise<Response> {
    let last: unknown;
    for (let attempt = 1; attempt <= config.maxAttempts; attempt += 1) {
      try {
        const response = await fetch(config.url.replace(/\/+$/, '') + path, {
          method,
          signal: AbortSignal.timeout(config.requestTimeoutMs),
          headers: { accept: 'application/json', 'content-type': 'application/json' },
          ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        });
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

  /** The answer's JSON; undefined for 404. */
  async function get(what: string, path: string): Promise<unknown> {
    const response = await call(what, 'GET', path);
    if (response.ok) return response.json();
    const message = await messageOf(response);
    if (response.status === 404) return undefined;
    throw refusal(what, response.status, message);
  }

  async function send(what: string, method: Method, path: string, body?: unknown): Promise<number> {
    const response = await call(what, method, path, body);
    const message = await messageOf(response);
    if (!response.ok) throw refusal(what, response.status, message);
    return response.status;
  }

  const path = (name: string): string => `/connectors/${encodeURIComponent(name)}`;

  return {
    async apply(name, wanted) {
      const found = await get(`read the configuration of ${name}`, `${path(name)}/config`);
      if (found !== undefined && sameConfig(configSchema.parse(found), { ...wanted, name })) {
        return 'unchanged';
      }
      const status = await send(`configure ${name}`, 'PUT', `${path(name)}/config`, wanted);
      return status === 201 ? 'created' : 'updated';
    },
    async status(name) {
      const found = await get(`read the status of ${name}`, `${path(name)}/status`);
      return found === undefined ? undefined : statusSchema.parse(found);
    },
    async restartFailed(name) {
      const restart = `${path(name)}/restart?includeTasks=true&onlyFailed=true`;
      await send(`restart ${name}`, 'POST', restart);
    },
    async resume(name) {
      await send(`resume ${name}`, 'PUT', `${path(name)}/resume`);
    },
    async stop(name) {
      await send(`stop ${name}`, 'PUT', `${path(name)}/stop`);
    },
    async resetOffsets(name) {
      await send(`reset the offsets of ${name}`, 'DELETE', `${path(name)}/offsets`);
    },
    async delete(name) {
      const response = await call(`delete ${name}`, 'DELETE', path(name));
      const message = await messageOf(response);
      if (!response.ok && response.status !== 404) {
        throw refusal(`delete ${name}`, response.status, message);
      }
    },
  };
}

/** Same keys, same values; order does not matter. */
export function sameConfig(
  a: Readonly<Record<string, string | null>>,
  b: Readonly<Record<string, string | null>>,
): boolean {
  const keys = Object.keys(a);
  return keys.length === Object.keys(b).length && keys.every((key) => a[key] === b[key]);
}
