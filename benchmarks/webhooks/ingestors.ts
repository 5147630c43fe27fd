import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { parseMessage } from '../../cli/workers/messages.ts';
import { ReachflowError } from '../../runtime/errors.ts';
import type { Arena, Environment } from '../harness/environment.ts';
import { buildPeer } from '../peers/build.ts';
import { buildGoPeer } from '../peers/go.ts';

/** A process that takes webhooks of the source `shop`. */
export interface Ingestor {
  readonly pid: number;
  /** Where it takes them. */
  readonly url: string;
  stop(): Promise<void>;
}

export interface IngestorKind {
  readonly name: string;
  start(environment: Environment, arena: Arena, secret: string): Promise<Ingestor>;
}

const BIN = join(import.meta.dirname, '..', '..', 'bin', 'reachflow.js');
const PATH = '/webhooks/ingest/shop';

/** `reachflow run --only webhook`, as it ships: the spool is on. */
export const ours: IngestorKind = {
  name: 'reachflow',
  async start(environment, arena, secret) {
    const directory = await environment.directory('webhooks');
    const source = { scheme: 'hmac', tenant: 'acme', secrets: [secret] };
    const child = spawn(process.execPath, [BIN, 'run', '--only', 'webhook'], {
      env: {
        PATH: process.env['PATH'],
        HOME: process.env['HOME'],
        REACHFLOW_KAFKA_BROKERS: environment.brokers.join(','),
        REACHFLOW_KAFKA_NAMESPACE: arena.name,
        REACHFLOW_KAFKA_PARTITIONS: String(environment.partitions),
        REACHFLOW_REGISTRY_URL: environment.registryUrl,
        REACHFLOW_STATE_DIR: join(directory, 'state'),
        REACHFLOW_WEBHOOK_PORT: '0',
        REACHFLOW_WEBHOOK_SPOOL_DIR: join(directory, 'spool'),
        REACHFLOW_WEBHOOK_SOURCES: JSON.stringify({ shop: source }),
        REACHFLOW_LOG_LEVEL: 'warn',
      },
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    const ready = new Promise<string>((resolve) => {
      child.on('message', (message) => {
        const parsed = parseMessage(message);
        if (parsed?.type === 'ready') resolve(parsed.webhookUrl ?? '');
      });
    });
    return running('reachflow', child, ready);
  },
};

/** net/http and franz-go, and nothing else: a lower bound. */
export async function bareGo(onProgress: (text: string) => void): Promise<IngestorKind> {
  const binary = await buildGoPeer('go-webhook', onProgress);
  return peer('go', (brokers, topic, secret) => ({
    file: binary,
    args: ['-brokers', brokers, '-topic', topic, '-secret', secret],
  }));
}

/** Apache Camel: see ../peers/camel/README.md. */
export async function camel(onProgress: (text: string) => void): Promise<IngestorKind> {
  const { java, classPath } = await buildPeer('camel', onProgress);
  const flags = [
    '-Xms512m',
    '-Xmx512m',
    '-XX:+UseSerialGC',
    '-Dorg.slf4j.simpleLogger.defaultLogLevel=warn',
  ];
  return peer('camel', (brokers, topic, secret) => ({
    file: java,
    args: [
      ...flags,
      '-cp',
      classPath,
      'io.reachflow.bench.camel.CamelPeer',
      brokers,
      topic,
      secret,
    ],
  }));
}

/** A process that prints `ready <url>` once it listens. */
function peer(
  name: string,
  command: (
    brokers: string,
    topic: string,
    secret: string,
  ) => { readonly file: string; readonly args: readonly string[] },
): IngestorKind {
  return {
    name,
    async start(environment, arena, secret) {
      const topic = arena.client.physical('webhook.received');
      const { file, args } = command(environment.brokers.join(','), topic, secret);
      const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'inherit'] });
      const { stdout } = child;
      const ready = new Promise<string>((resolve) => {
        createInterface({ input: stdout }).on('line', (line) => {
          if (line.startsWith('ready ')) resolve(line.slice('ready '.length));
        });
      });
      return running(name, child, ready);
    },
  };
}

async function running(
  name: string,
  child: ChildProcess,
  ready: Promise<string>,
): Promise<Ingestor> {
  const exited = once(child, 'exit');
  const url = await Promise.race([ready, exited.then(() => undefined)]);
  if (url === undefined) {
    throw new ReachflowError(`the ingestor ${name} ended before it listened`, {
      code: 'PEER_FAILED',
      domain: 'external',
      hint: 'What it printed says why.',
    });
  }
  return {
    pid: child.pid ?? 0,
    url: `${url}${PATH}`,
    async stop() {
      child.kill('SIGTERM');
      await exited;
    },
  };
}
