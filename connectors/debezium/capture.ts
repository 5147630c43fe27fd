import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from 'pino';
import { errorCode, errorMessage, ReachflowError } from '../../runtime/errors.ts';
import type { Metrics } from '../../runtime/observability/metrics.ts';
import type { ConnectorStatus } from '../connector.ts';
import { failures, isHalted, isRunning, NAME, toConnectorStatus } from './capture-state.ts';
import type { CaptureConfig, ConnectConfig, NamedCapture } from './config.ts';
import {
  type ApplyResult,
  type ConnectClient,
  createConnectClient,
  type FoundConfig,
} from './connect-client.ts';
import { type ConnectorEnvironment, debeziumConnectorConfig } from './connector-config.ts';
import { mysqlSource } from './mysql-source.ts';
import { type CaptureNames, captureNames } from './names.ts';
import { PositionWatch } from './position-watch.ts';
import { postgresSource } from './postgres-source.ts';
import { type CaptureSource, slotLost } from './source.ts';
import { TaskWatch } from './task-watch.ts';

export interface CaptureDeps extends ConnectorEnvironment {
  readonly connect: ConnectConfig;
  readonly logger: Logger;
  readonly metrics?: Metrics | undefined;
}

const POLL_MS = 250;

function timedOut(name: string, what: string, ms: number): ReachflowError {
  return new ReachflowError(`${name} was not ${what} within ${ms} ms`, {
    code: 'CDC_TIMEOUT',
    domain: 'external',
    retry: 'backoff',
    hint: 'The log of the Connect worker says what it is waiting for.',
  });
}

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

function taskFailed(name: string, failed: readonly string[]): ReachflowError {
  return new ReachflowError(`${name} does not run: ${failed.join('; ')}`, {
    code: 'CDC_TASK_FAILED',
    domain: 'external',
    hint: 'Correct the cause and start again: failed tasks are restarted.',
  });
}

/** Looks in a row that must find all tasks running: one that cannot begin to stream fails only a moment after it ran. */
const STEADY_LOOKS = 3;

function sourceOf(config: CaptureConfig, env: ConnectorEnvironment, names: CaptureNames) {
  const { database } = config;
  return database === 'postgres'
    ? postgresSource(config, config.databaseUrl ?? env.databaseUrl, names)
    : mysqlSource({ ...config, database }, names);
}

/**
 * One database's capture: a connector in Kafka Connect, and what the database keeps for it. The work is done by
 * Connect, which outlives this process.
 */
export class Capture {
  readonly names: CaptureNames;
  readonly config: CaptureConfig;
  readonly client: ConnectClient;
  readonly source: CaptureSource;
  /** The complete configuration of its connector. */
  readonly wanted: Readonly<Record<string, string>>;
  readonly #logger: Logger;
  readonly #tasks: TaskWatch;
  readonly #position: PositionWatch;
  #starting: Promise<void> | undefined;
  #stopping: Promise<void> | undefined;
  #isStarted = false;

  /** @throws ReachflowError for a configuration that cannot work (see `debeziumConnectorConfig`). */
  constructor({ source, config }: NamedCapture, deps: CaptureDeps) {
    this.config = config;
    this.names = captureNames(config, deps.namespace, source);
    this.wanted = debeziumConnectorConfig(config, deps, source);
    this.#logger = deps.logger.child({ connector: NAME });
    this.client = createConnectClient(deps.connect, this.#logger);
    this.source = sourceOf(config, deps, this.names);
    const { connector } = this.names;
    const common = { connector, logger: this.#logger, intervalMs: config.watchIntervalMs };
    this.#tasks = new TaskWatch({ ...common, client: this.client, failuresOf: failures });
    this.#position = new PositionWatch({
      ...common,
      source: this.source,
      metrics: deps.metrics?.capture,
    });
  }

  /** The configuration that its connector has; undefined when there is none. @throws as `ConnectClient`. */
  found(): Promise<FoundConfig | undefined> {
    return this.client.configOf(this.names.connector);
  }

  /**
   * Makes the connector in Kafka Connect what the configuration says, and waits until it runs. Idempotent.
   * @throws ReachflowError as `CaptureSource.check` and `ConnectClient`; `CDC_TASK_FAILED`, `CDC_TIMEOUT`.
   */
  async apply(): Promise<ApplyResult> {
    const { client } = this;
    const { connector } = this.names;
    await this.source.check(await client.offsets(connector));
    const result = await client.apply(connector, this.wanted);
    const state = await client.status(connector);
    if (state !== undefined && isHalted(state)) await client.resume(connector);
    await this.#waitRunning();
    return result;
  }

  /** Applies, and watches over it from then on. @throws as `apply`. */
  async start(): Promise<void> {
    await this.#stopping;
    if (this.#isStarted) return;
    this.#starting ??= this.#begin().finally(() => {
      this.#starting = undefined;
    });
    await this.#starting;
  }

  /** Leaves the connector running, or stops it: `debezium.onStop`. Idempotent. */
  async stop(): Promise<void> {
    await this.#starting?.catch(() => undefined);
    if (this.#isStarted) {
      this.#stopping ??= this.#end().finally(() => {
        this.#stopping = undefined;
      });
    }
    await this.#stopping;
  }

  async status(): Promise<ConnectorStatus> {
    const { connector } = this.names;
    if (this.#starting !== undefined) {
      return { name: NAME, state: 'starting', detail: `waiting for ${connector} to run` };
    }
    if (!this.#isStarted) {
      return { name: NAME, state: 'stopped', detail: `${connector} was not started from here` };
    }
    if (this.#position.last?.isLost === true) {
      const why = `the database has invalidated its slot ${this.names.slot}`;
      return { name: NAME, state: 'failed', detail: slotLost(why, connector).message };
    }
    try {
      return toConnectorStatus(connector, await this.client.status(connector));
    } catch (error) {
      return { name: NAME, state: 'degraded', detail: errorMessage(error) };
    }
  }

  /**
   * Ends the capture for good: deletes the connector with its offsets, then frees what the database keeps for it.
   * The next start takes a new snapshot. Topics stay. Idempotent.
   */
  async remove(): Promise<void> {
    await this.stop();
    const { connector } = this.names;
    const { startTimeoutMs } = this.config;
    try {
      await this.#halt();
      // Offsets outlive a connector: the next of its name would look for a slot position that is gone.
      await this.client.resetOffsets(connector);
    } catch (error) {
      if (errorCode(error) !== 'CONNECT_NOT_FOUND') throw error;
    }
    await this.client.delete(connector);
    await this.source.release(startTimeoutMs);
  }

  async #begin(): Promise<void> {
    const result = await this.apply();
    this.#isStarted = true;
    this.#tasks.start();
    this.#position.start();
    this.#logger.info(
      { name: this.names.connector, config: result },
      'change data capture is running',
    );
  }

  async #end(): Promise<void> {
    this.#isStarted = false;
    await Promise.all([this.#tasks.stop(), this.#position.stop()]);
    if (this.config.onStop === 'stop') await this.#halt();
  }

  /** Waits until every task runs, restarting failed ones within `debezium.maxRestarts`. */
  async #waitRunning(): Promise<void> {
    const { client, config } = this;
    const { connector } = this.names;
    let restarts = 0;
    let looks = 0;
    await waitFor(
      config.startTimeoutMs,
      async () => {
        const state = await client.status(connector);
        if (state === undefined) return undefined;
        const failed = failures(state);
        if (failed.length > 0) {
          if (restarts >= config.maxRestarts) throw taskFailed(connector, failed);
          restarts += 1;
          await client.restart(connector, 'failed');
          return undefined;
        }
        looks = isRunning(state) ? looks + 1 : 0;
        return looks >= STEADY_LOOKS ? true : undefined;
      },
      () => timedOut(connector, 'running', config.startTimeoutMs),
    );
  }

  /** Stops the connector and waits until its tasks have ended, and with them their hold on the slot. */
  async #halt(): Promise<void> {
    const { connector } = this.names;
    const { startTimeoutMs } = this.config;
    await this.client.stop(connector);
    await waitFor(
      startTimeoutMs,
      async () => {
        const state = await this.client.status(connector);
        const stopped = state === undefined || state.connector.state === 'STOPPED';
        return stopped && (state?.tasks ?? []).length === 0 ? true : undefined;
      },
      () => timedOut(connector, 'stopped', startTimeoutMs),
    );
  }
}
