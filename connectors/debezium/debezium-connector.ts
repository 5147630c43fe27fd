import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from 'pino';
import { errorCode, errorMessage, ReachflowError } from '../../runtime/errors.ts';
import type { Connector, ConnectorStatus } from '../connector.ts';
import type { ConnectConfig, DebeziumConfig } from './config.ts';
import { type ConnectClient, type ConnectorState, createConnectClient } from './connect-client.ts';
import {
  type ConnectorEnvironment,
  capturedTopics,
  captureNames,
  debeziumConnectorConfig,
} from './connector-config.ts';
import { checkSource, withSource } from './source-check.ts';
import { TaskWatch } from './task-watch.ts';

export interface DebeziumConnectorDeps extends ConnectorEnvironment {
  readonly connect: ConnectConfig;
  readonly logger: Logger;
}

/**
 * Change data capture. The work is done by Kafka Connect, which outlives this process: a stop leaves the capture
 * running there (`debezium.onStop: leave`) or stops it (`stop`); the next start goes on where it was.
 */
export interface DebeziumConnector extends Connector {
  /**
   * Ends the capture for good: deletes the connector with its offsets, then its replication slot and publication.
   * The next start takes a new snapshot. Topics stay. Idempotent.
   */
  remove(): Promise<void>;
}

const POLL_MS = 250;
const NAME = 'debezium';

/** Repeats `check` until it gives something. @throws what `onTimeout` makes, after `timeoutMs`. */
async function waitFor<T>(
  timeoutMs: number,
  check: () => Promise<T | undefined>,
  onTimeout: () => ReachflowError,
): Promise<T> {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    const found = await check();
    if (found !== undefined) return found;
    if (Date.now() >= deadline) throw onTimeout();
    await delay(POLL_MS);
  }
}

/** The innermost cause of a Java stack trace, one line. */
export function rootCause(trace: string | undefined): string {
  const lines = (trace ?? '').split('\n');
  const causes = lines.filter((line) => line.startsWith('Caused by: '));
  return (causes.at(-1)?.slice('Caused by: '.length) ?? lines[0] ?? '').trim() || 'no reason given';
}

/** The connector and tasks that FAILED, each with its cause. */
function failures(state: ConnectorState): string[] {
  const parts = [
    { what: 'connector', ...state.connector },
    ...state.tasks.map((task) => ({ what: `task ${task.id}`, ...task })),
  ];
  return parts
    .filter((part) => part.state === 'FAILED')
    .map((part) => `${part.what} failed: ${rootCause(part.trace)}`);
}

function isRunning(state: ConnectorState): boolean {
  return (
    state.connector.state === 'RUNNING' &&
    state.tasks.length > 0 &&
    state.tasks.every((task) => task.state === 'RUNNING')
  );
}

/** What Connect's states mean for us. Pure. */
export function toConnectorStatus(
  name: string,
  state: ConnectorState | undefined,
): ConnectorStatus {
  if (state === undefined) {
    return { name: NAME, state: 'failed', detail: `${name} does not exist in Kafka Connect` };
  }
  const failed = failures(state);
  if (failed.length > 0)
    return { name: NAME, state: 'failed', detail: `${name}: ${failed.join('; ')}` };
  if (isRunning(state)) {
    return { name: NAME, state: 'running', detail: `${name} is capturing in Kafka Connect` };
  }
  const states = [state.connector, ...state.tasks].map((part) => part.state);
  const isHalted = states.includes('PAUSED') || states.includes('STOPPED');
  const detail = `${name} is ${states.join(', ')}`;
  return { name: NAME, state: isHalted ? 'degraded' : 'starting', detail };
}

function taskFailed(name: string, failed: readonly string[]): ReachflowError {
  return new ReachflowError(`${name} does not run: ${failed.join('; ')}`, {
    code: 'CDC_TASK_FAILED',
    domain: 'external',
    hint: 'Correct the cause and start again: failed tasks are restarted.',
  });
}

function timedOut(name: string, what: string, ms: number): ReachflowError {
  return new ReachflowError(`${name} was not ${what} within ${ms} ms`, {
    code: 'CDC_TIMEOUT',
    domain: 'external',
    retry: 'backoff',
    hint: 'The log of the Connect worker says what it is waiting for.',
  });
}

/** Looks in a row that must find all tasks running: one that cannot begin to stream fails only a moment after it ran. */
const STEADY_LOOKS = 3;

/** Waits until every task runs, restarting failed ones within `debezium.maxRestarts`. */
async function waitRunning(
  client: ConnectClient,
  name: string,
  config: DebeziumConfig,
): Promise<void> {
  let restarts = 0;
  let looks = 0;
  await waitFor(
    config.startTimeoutMs,
    async () => {
      const state = await client.status(name);
      if (state === undefined) return undefined;
      const failed = failures(state);
      if (failed.length > 0) {
        if (restarts >= config.maxRestarts) throw taskFailed(name, failed);
        restarts += 1;
        await client.restartFailed(name);
        return undefined;
      }
      looks = isRunning(state) ? looks + 1 : 0;
      return looks >= STEADY_LOOKS ? true : undefined;
    },
    () => timedOut(name, 'running', config.startTimeoutMs),
  );
}

/** Drops slot and publication, waiting for the walsender of a task that has just ended to let go of the slot. */
async function dropSlot(
  databaseUrl: string,
  names: { slot: string; publication: string },
  timeoutMs: number,
): Promise<void> {
  await withSource(databaseUrl, async (client) => {
    await waitFor(
      timeoutMs,
      async () => {
        await client.query(
          'SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = $1 AND NOT active',
          [names.slot],
        );
        const found = 'SELECT 1 FROM pg_replication_slots WHERE slot_name = $1';
        const left = await client.query(found, [names.slot]);
        return left.rowCount === 0 ? true : undefined;
      },
      () => timedOut(`the replication slot ${names.slot}`, 'released', timeoutMs),
    );
    await client.query(`DROP PUBLICATION IF EXISTS "${names.publication}"`);
  });
}

/** Stops a connector and waits until its tasks have ended, and with them their hold on the slot. */
async function halt(client: ConnectClient, name: string, timeoutMs: number): Promise<void> {
  await client.stop(name);
  await waitFor(
    timeoutMs,
    async () => {
      const state = await client.status(name);
      const isHalted = state === undefined || state.connector.state === 'STOPPED';
      return isHalted && (state?.tasks ?? []).length === 0 ? true : undefined;
    },
    () => timedOut(name, 'stopped', timeoutMs),
  );
}

async function removeCapture(
  client: ConnectClient,
  config: DebeziumConfig,
  deps: DebeziumConnectorDeps,
): Promise<void> {
  const names = captureNames(config, deps.namespace);
  try {
    await halt(client, names.connector, config.startTimeoutMs);
    // Offsets outlive a connector: the next of its name would look for a slot position that is gone.
    await client.resetOffsets(names.connector);
  } catch (error) {
    if (errorCode(error) !== 'CONNECT_NOT_FOUND') throw error;
  }
  await client.delete(names.connector);
  await dropSlot(deps.databaseUrl, names, config.startTimeoutMs);
}

/** @throws ReachflowError for a configuration that cannot work (see `debeziumConnectorConfig`). */
export function createDebeziumConnector(
  config: DebeziumConfig,
  deps: DebeziumConnectorDeps,
): DebeziumConnector {
  const logger = deps.logger.child({ connector: NAME });
  const client = createConnectClient(deps.connect, logger);
  const names = captureNames(config, deps.namespace);
  const wanted = debeziumConnectorConfig(config, deps);
  const watch = new TaskWatch({
    client,
    connector: names.connector,
    logger,
    intervalMs: config.watchIntervalMs,
    failuresOf: failures,
  });
  let starting: Promise<void> | undefined;
  let stopping: Promise<void> | undefined;
  let isStarted = false;

  async function begin(): Promise<void> {
    await checkSource(deps.databaseUrl, { tables: config.tables, slot: names.slot });
    const result = await client.apply(names.connector, wanted);
    const state = await client.status(names.connector);
    const isHalted = state?.connector.state === 'PAUSED' || state?.connector.state === 'STOPPED';
    if (isHalted) await client.resume(names.connector);
    await waitRunning(client, names.connector, config);
    isStarted = true;
    watch.start();
    logger.info({ name: names.connector, config: result }, 'change data capture is running');
  }

  async function end(): Promise<void> {
    isStarted = false;
    await watch.stop();
    if (config.onStop === 'stop') await halt(client, names.connector, config.startTimeoutMs);
  }

  async function stop(): Promise<void> {
    await starting?.catch(() => undefined);
    if (isStarted) {
      stopping ??= end().finally(() => {
        stopping = undefined;
      });
    }
    await stopping;
  }

  return {
    name: NAME,
    topics: capturedTopics(config),
    async start() {
      await stopping;
      if (isStarted) return;
      starting ??= begin().finally(() => {
        starting = undefined;
      });
      await starting;
    },
    stop,
    async status() {
      if (starting !== undefined) {
        return { name: NAME, state: 'starting', detail: `waiting for ${names.connector} to run` };
      }
      if (!isStarted) {
        return {
          name: NAME,
          state: 'stopped',
          detail: `${names.connector} was not started from here`,
        };
      }
      try {
        return toConnectorStatus(names.connector, await client.status(names.connector));
      } catch (error) {
        return { name: NAME, state: 'degraded', detail: errorMessage(error) };
      }
    },
    async remove() {
      await stop();
      await removeCapture(client, config, deps);
    },
  };
}
