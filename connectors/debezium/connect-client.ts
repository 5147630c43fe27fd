import type { Logger } from 'pino';
import { z } from 'zod';
import { errorCode } from '../../runtime/errors.ts';
import type { ConnectConfig } from './config.ts';
import { createConnectHttp } from './connect-http.ts';

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
const listSchema = z.record(z.string(), z.object({ status: statusSchema }));
const offsetsSchema = z.object({
  offsets: z.array(z.object({ offset: z.record(z.string(), z.unknown()).nullable() })),
});

/** State of a connector and of each of its tasks: a task can be FAILED while its connector says RUNNING. */
export type ConnectorState = z.infer<typeof statusSchema>;
/** A configuration as Connect gives it back. */
export type FoundConfig = z.infer<typeof configSchema>;

export type ApplyResult = 'created' | 'updated' | 'unchanged';

/**
 * The part of Kafka Connect's REST API that we need. Every call is repeated, within `connect.maxAttempts`, while the
 * cluster rebalances or does not answer; all of them are idempotent.
 * Every method throws ReachflowError: `CONNECT_UNAVAILABLE` (retry: backoff), `CONNECT_URL_WRONG` (something else
 * answers at `connect.url`), `CONNECT_CONFIG_INVALID` (400), `CONNECT_NOT_FOUND` (404), `CONNECT_REJECTED` (any other
 * answer).
 */
export interface ConnectClient {
  /** Creates the connector, or changes its configuration if it differs. */
  apply(name: string, config: Readonly<Record<string, string>>): Promise<ApplyResult>;
  /** The configuration that it has; undefined when there is no such connector. */
  configOf(name: string): Promise<FoundConfig | undefined>;
  /** Every connector of the cluster. */
  list(): Promise<ConnectorState[]>;
  /** Undefined when there is no such connector, or not yet: right after its creation it has no status. */
  status(name: string): Promise<ConnectorState | undefined>;
  /** How far it has read, one entry per source partition (KIP-875); empty for one that has read nothing. */
  offsets(name: string): Promise<Readonly<Record<string, unknown>>[]>;
  /** Restarts the connector and its tasks: all, or those that are FAILED (KIP-745). */
  restart(name: string, only: 'failed' | 'all'): Promise<void>;
  /** Lets a stopped or paused one run again. */
  resume(name: string): Promise<void>;
  /** Its tasks read no more, and keep what they hold, a replication slot for one. */
  pause(name: string): Promise<void>;
  /** Ends its tasks, which frees the slot, and keeps configuration and offsets (KIP-875). */
  stop(name: string): Promise<void>;
  /** Forgets how far it has read; only when stopped (KIP-875). */
  resetOffsets(name: string): Promise<void>;
  /** Deletes it; one that does not exist is fine. */
  delete(name: string): Promise<void>;
}

/** Does not connect until its first call. */
export function createConnectClient(config: ConnectConfig, logger: Logger): ConnectClient {
  const { get, send } = createConnectHttp(config, logger);
  const path = (name: string): string => `/connectors/${encodeURIComponent(name)}`;

  function configOf(name: string): Promise<FoundConfig | undefined> {
    return get(`read the configuration of ${name}`, `${path(name)}/config`, configSchema);
  }

  return {
    configOf,
    async apply(name, wanted) {
      const found = await configOf(name);
      if (found !== undefined && sameConfig(found, { ...wanted, name })) return 'unchanged';
      const status = await send(`configure ${name}`, 'PUT', `${path(name)}/config`, wanted);
      return status === 201 ? 'created' : 'updated';
    },
    async list() {
      const found = await get('list the connectors', '/connectors?expand=status', listSchema);
      return Object.values(found ?? {}).map(({ status }) => status);
    },
    status: (name) => get(`read the status of ${name}`, `${path(name)}/status`, statusSchema),
    async offsets(name) {
      const found = await get(
        `read the offsets of ${name}`,
        `${path(name)}/offsets`,
        offsetsSchema,
      );
      return (found?.offsets ?? []).flatMap(({ offset }) => (offset === null ? [] : [offset]));
    },
    async restart(name, only) {
      const query = `includeTasks=true&onlyFailed=${only === 'failed'}`;
      await send(`restart ${name}`, 'POST', `${path(name)}/restart?${query}`);
    },
    async resume(name) {
      await send(`resume ${name}`, 'PUT', `${path(name)}/resume`);
    },
    async pause(name) {
      await send(`pause ${name}`, 'PUT', `${path(name)}/pause`);
    },
    async stop(name) {
      await send(`stop ${name}`, 'PUT', `${path(name)}/stop`);
    },
    async resetOffsets(name) {
      await send(`reset the offsets of ${name}`, 'DELETE', `${path(name)}/offsets`);
    },
    async delete(name) {
      try {
        await send(`delete ${name}`, 'DELETE', path(name));
      } catch (error) {
        if (errorCode(error) !== 'CONNECT_NOT_FOUND') throw error;
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
