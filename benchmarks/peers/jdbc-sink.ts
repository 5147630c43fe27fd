import { symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { ConnectProcess, provisionConnect } from '../harness/connect-process.ts';
import { fetchPlugin } from './build.ts';

const REQUEST_TIMEOUT_MS = 30_000;
/** Ours, which the project's Connect worker has: schemas are cached, and nothing is slower for it. */
const AVRO = 'io.reachflow.connect.ConfluentAvroConverter';

const statusSchema = z.object({
  connector: z.object({ state: z.string() }),
  tasks: z.array(z.object({ state: z.string(), trace: z.string().optional() })),
});

export interface ConnectOptions {
  readonly brokers: readonly string[];
  readonly registryUrl: string;
  /** A new directory for its configuration, offsets and log. */
  readonly directory: string;
  readonly onProgress: (text: string) => void;
}

function workerProperties(options: ConnectOptions, plugins: string) {
  const { brokers, registryUrl, directory } = options;
  return {
    'bootstrap.servers': brokers.join(','),
    'plugin.path': plugins,
    // Its archive may lack service files.
    'plugin.discovery': 'hybrid_warn',
    'key.converter': AVRO,
    'key.converter.schema.registry.url': registryUrl,
    'value.converter': AVRO,
    'value.converter.schema.registry.url': registryUrl,
    'offset.storage.file.filename': join(directory, 'offsets'),
    'connector.client.config.override.policy': 'All',
  };
}

/** A standalone worker of Kafka Connect with Debezium's JDBC sink and our Avro converter. */
export class ConnectWorker {
  readonly #process: ConnectProcess;

  private constructor(process: ConnectProcess) {
    this.#process = process;
  }

  get pid(): number {
    return this.#process.pid;
  }

  /**
   * Fetches what it needs, once, starts it, and waits until it answers.
   * @throws ReachflowError `PEER_BUILD_FAILED`, `CONTESTANT_FAILED`, or why Connect cannot be provisioned.
   */
  static async start(options: ConnectOptions): Promise<ConnectWorker> {
    const { directory, onProgress } = options;
    const plugins = await provisionConnect(onProgress);
    const sink = 'debezium-connector-jdbc';
    const converter = 'reachflow-converter';
    await symlink(await fetchPlugin('jdbc-sink', sink, onProgress), join(directory, sink));
    await symlink(join(plugins, converter), join(directory, converter));
    const properties = workerProperties(options, directory);
    return new ConnectWorker(
      await ConnectProcess.start({ mode: 'ConnectStandalone', directory, properties }),
    );
  }

  /** Makes a connector that is stopped. @throws ReachflowError `CONTESTANT_FAILED`. */
  async create(name: string, config: Readonly<Record<string, string>>): Promise<void> {
    await this.#call('POST', '/connectors', { name, config, initial_state: 'STOPPED' });
  }

  /** Has it begin; returns at once. @throws ReachflowError `CONTESTANT_FAILED`. */
  async resume(name: string): Promise<void> {
    await this.#call('PUT', `/connectors/${name}/resume`);
  }

  /** @throws ReachflowError `CONTESTANT_FAILED` with the trace of a task that has failed. */
  async assertRunning(name: string): Promise<void> {
    const { connector, tasks } = statusSchema.parse(
      await this.#call('GET', `/connectors/${name}/status`),
    );
    const failed = tasks.find(({ state }) => state === 'FAILED');
    if (failed !== undefined)
      throw await this.#process.failure(`${name}: ${failed.trace ?? 'FAILED'}`);
    if (connector.state === 'FAILED') throw await this.#process.failure(`${name} has failed`);
  }

  /** Ends a connector. @throws ReachflowError `CONTESTANT_FAILED`. */
  async remove(name: string): Promise<void> {
    await this.#call('DELETE', `/connectors/${name}`);
  }

  end(): Promise<void> {
    return this.#process.end();
  }

  async #call(method: string, path: string, body?: unknown): Promise<unknown> {
    const response = await fetch(`${this.#process.url}${path}`, {
      method,
      headers: { 'content-type': 'application/json' },
      signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS),
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    if (!response.ok)
      throw await this.#process.failure(`${method} ${path}: ${response.status} ${text}`);
    return text === '' ? undefined : JSON.parse(text);
  }
}
