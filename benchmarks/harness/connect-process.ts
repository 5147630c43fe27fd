import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { defaultCacheDir } from '../../compose/config.ts';
import { connectComponent } from '../../compose/embedded/components/connect.ts';
import { toProperties } from '../../compose/embedded/components/kafka.ts';
import { provision } from '../../compose/embedded/provision/provision.ts';
import { unitHome } from '../../compose/embedded/provision/unit.ts';
import { unitOf } from '../../compose/embedded/provision/units.ts';
import { findJdk } from '../../compose/embedded/toolchain.ts';
import { ReachflowError } from '../../runtime/errors.ts';

const START_TIMEOUT_MS = 300_000;
const EXIT_TIMEOUT_MS = 20_000;
const POLL_MS = 100;
const LOG_TAIL_LINES = 30;

export interface ConnectProcessOptions {
  readonly mode: 'ConnectStandalone' | 'ConnectDistributed';
  /** A new directory for its configuration and log. */
  readonly directory: string;
  /** Its settings, but `listeners`. */
  readonly properties: Readonly<Record<string, string | number>>;
}

/** Fetches Kafka Connect and its plugins, once. Returns where they are. @throws ReachflowError why it cannot. */
export async function provisionConnect(onProgress: (text: string) => void): Promise<string> {
  const cacheDir = defaultCacheDir();
  await provision([connectComponent], {
    cacheDir,
    jdk: findJdk,
    onProgress: ({ component, message }) => onProgress(`${component}: ${message}`),
  });
  return unitHome(cacheDir, unitOf('connect-plugins'));
}

/** A worker of Kafka Connect as a process of its own. `provisionConnect` comes first. */
export class ConnectProcess {
  readonly pid: number;
  readonly url: string;
  readonly #child: ChildProcess;
  readonly #log: string;

  private constructor(child: ChildProcess, url: string, log: string) {
    this.#child = child;
    this.pid = child.pid ?? -1;
    this.url = url;
    this.#log = log;
  }

  /** Starts it, and waits until it answers. @throws ReachflowError `CONTESTANT_FAILED`. */
  static async start(options: ConnectProcessOptions): Promise<ConnectProcess> {
    const { mode, directory, properties } = options;
    const url = `http://127.0.0.1:${await freePort()}`;
    const file = join(directory, 'connect.properties');
    await writeFile(file, toProperties({ ...properties, listeners: url }));
    const log = join(directory, 'connect.log');
    const output = openSync(log, 'a');
    const child = spawn(
      join(findJdk().home, 'bin', 'java'),
      [
        ...['-Xms1g', '-Xmx1g', '-XX:+UseSerialGC', '-XX:+ExitOnOutOfMemoryError'],
        ...['-cp', join(unitHome(defaultCacheDir(), unitOf('kafka')), 'lib', '*')],
        ...[`org.apache.kafka.connect.cli.${mode}`, file],
      ],
      { stdio: ['ignore', output, output] },
    );
    closeSync(output);
    const worker = new ConnectProcess(child, url, log);
    await worker.#awaitStart();
    return worker;
  }

  async #awaitStart(): Promise<void> {
    const until = Date.now() + START_TIMEOUT_MS;
    while (Date.now() < until && this.#child.exitCode === null) {
      const answer = await fetch(`${this.url}/connectors`).catch(() => undefined);
      if (answer?.ok === true) return;
      await delay(POLL_MS);
    }
    await this.end();
    throw await this.failure('did not start');
  }

  async end(): Promise<void> {
    if (this.#child.exitCode !== null) return;
    const ended = new Promise((resolve) => this.#child.once('exit', resolve));
    this.#child.kill('SIGTERM');
    const kill = setTimeout(() => this.#child.kill('SIGKILL'), EXIT_TIMEOUT_MS);
    await ended;
    clearTimeout(kill);
  }

  /** An error that says what it wrote last. */
  async failure(what: string): Promise<ReachflowError> {
    const log = (await readFile(this.#log, 'utf8')).trimEnd().split('\n').slice(-LOG_TAIL_LINES);
    return new ReachflowError(`Kafka Connect: ${what}\n${log.join('\n')}`, {
      code: 'CONTESTANT_FAILED',
      domain: 'external',
      hint: `All that it said is in ${this.#log}.`,
    });
  }
}

/** A port that nobody listens on now. */
async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}
