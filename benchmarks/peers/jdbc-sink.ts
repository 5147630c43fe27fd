import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { readFile, symlink, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { z } from 'zod';
import { defaultCacheDir } from '../../compose/config.ts';
import { connectComponent } from '../../compose/embedded/components/connect.ts';
import { toProperties } from '../../compose/embedded/components/kafka.ts';
import { provision } from '../../compose/embedded/provision/provision.ts';
import { unitHome } from '../../compose/embedded/provision/unit.ts';
import { unitOf } from '../../compose/embedded/provision/units.ts';
import { findJdk } from '../../compose/embedded/toolchain.ts';
import { ReachflowError } from '../../runtime/errors.ts';
import { fetchPlugin } from './build.ts';

const START_TIMEOUT_MS = 180_000;
const REQUEST_TIMEOUT_MS = 30_000;
const POLL_MS = 100;
const EXIT_TIMEOUT_MS = 20_000;
const LOG_TAIL_LINES = 30;
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

/** A port that nobody listens on now. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}

function workerProperties(options: ConnectOptions, port: number, plugins: string) {
  const { brokers, registryUrl, directory } = options;
  return {
    'bootstrap.servers': brokers.join(','),
    listeners: `http://127.0.0.1:${port}`,
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
  readonly pid: number;
  readonly #child: ChildProcess;
  readonly #url: string;
  readonly #log: string;

  private constructor(child: ChildProcess, pid: number, url: string, log: string) {
    this.#child = child;
    this.pid = pid;
    this.#url = url;
    this.#log = log;
  }

  /**
   * Fetches what it needs, once, starts it, and waits until it answers.
   * @throws ReachflowError `PEER_BUILD_FAILED`, `CONTESTANT_FAILED`, or why Connect cannot be provisioned.
   */
  static async start(options: ConnectOptions): Promise<ConnectWorker> {
    const { directory, onProgress } = options;
    const cacheDir = defaultCacheDir();
    await provision([connectComponent], {
      cacheDir,
      jdk: findJdk,
      onProgress: ({ component, message }) => onProgress(`${component}: ${message}`),
    });
    const sink = 'debezium-connector-jdbc';
    const converter = 'reachflow-converter';
    await symlink(await fetchPlugin('jdbc-sink', sink, onProgress), join(directory, sink));
    const plugins = unitHome(cacheDir, unitOf('connect-plugins'));
    await symlink(join(plugins, converter), join(directory, converter));
    const port = await freePort();
    const properties = join(directory, 'connect.properties');
    await writeFile(properties, toProperties(workerProperties(options, port, directory)));
    const log = join(directory, 'connect.log');
    const output = openSync(log, 'a');
    const child = spawn(
      join(findJdk().home, 'bin', 'java'),
      [
        ...['-Xms1g', '-Xmx1g', '-XX:+UseSerialGC', '-XX:+ExitOnOutOfMemoryError'],
        ...['-cp', join(unitHome(cacheDir, unitOf('kafka')), 'lib', '*')],
        ...['org.apache.kafka.connect.cli.ConnectStandalone', properties],
      ],
      { stdio: ['ignore', output, output] },
    );
    closeSync(output);
    const worker = new ConnectWorker(child, child.pid ?? -1, `http://127.0.0.1:${port}`, log);
    await worker.#awaitStart();
    return worker;
  }

  async #awaitStart(): Promise<void> {
    const until = Date.now() + START_TIMEOUT_MS;
    while (Date.now() < until && this.#child.exitCode === null) {
      const answer = await fetch(`${this.#url}/connectors`).catch(() => undefined);
      if (answer?.ok === true) return;
      await delay(POLL_MS);
    }
    await this.end();
    throw await this.#failed('did not start');
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
    if (failed !== undefined) throw await this.#failed(`${name}: ${failed.trace ?? 'FAILED'}`);
    if (connector.state === 'FAILED') throw await this.#failed(`${name} has failed`);
  }

  /** Ends a connector. @throws ReachflowError `CONTESTANT_FAILED`. */
  async remove(name: string): Promise<void> {
    await this.#call('DELETE', `/connectors/${name}`);
  }

  async end(): Promise<void> {
    if (this.#child.exitCode !== null) return;
    const ended = new Promise((resolve) => this.#child.once('exit', resolve));
    this.#child.kill('SIGTERM');
    const kill = setTimeout(() => this.#child.kill('SIGKILL'), EXIT_TIMEOUT_MS);
    await ended;
    clearTimeout(kill);
  }

  async #call(method: string, path: string, body?: unknown): Promise<unknown> {
    const response = await fetch(`${this.#url}${path}`, {
      method,
      headers: { 'content-type': 'application/json' },
      signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS),
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    if (!response.ok) throw await this.#failed(`${method} ${path}: ${response.status} ${text}`);
    return text === '' ? undefined : JSON.parse(text);
  }

  async #failed(what: string): Promise<ReachflowError> {
    const log = (await readFile(this.#log, 'utf8')).trimEnd().split('\n').slice(-LOG_TAIL_LINES);
    return new ReachflowError(`Kafka Connect: ${what}\n${log.join('\n')}`, {
      code: 'CONTESTANT_FAILED',
      domain: 'external',
      hint: `All that it said is in ${this.#log}.`,
    });
  }
}
