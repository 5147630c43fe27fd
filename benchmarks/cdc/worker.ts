import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
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
import type { Environment } from '../harness/environment.ts';
import { freePort } from '../peers/jdbc-sink.ts';

const START_TIMEOUT_MS = 300_000;
const EXIT_TIMEOUT_MS = 20_000;

/** A distributed worker of Kafka Connect, the only one of its group, with Debezium and every converter. */
export interface CdcWorker {
  readonly url: string;
  readonly pid: number;
  end(): Promise<void>;
}

function properties(environment: Environment, name: string, port: number, plugins: string) {
  const json = 'org.apache.kafka.connect.json.JsonConverter';
  const storage = (kind: string) => ({
    [`${kind}.storage.topic`]: `${name}.${kind}s`,
    [`${kind}.storage.replication.factor`]: 1,
    ...(kind === 'config' ? {} : { [`${kind}.storage.partitions`]: 1 }),
  });
  return {
    'bootstrap.servers': environment.brokers.join(','),
    'group.id': name,
    listeners: `http://127.0.0.1:${port}`,
    'plugin.path': plugins,
    // The stock converter has no service file.
    'plugin.discovery': 'hybrid_warn',
    'key.converter': json,
    'value.converter': json,
    ...storage('config'),
    ...storage('offset'),
    ...storage('status'),
    'exactly.once.source.support': 'enabled',
    'connector.client.config.override.policy': 'All',
  };
}

/**
 * @param name of its group and internal topics.
 * @throws ReachflowError `CONTESTANT_FAILED`, or why Connect cannot be provisioned.
 */
export async function startWorker(
  environment: Environment,
  name: string,
  onProgress: (text: string) => void,
): Promise<CdcWorker> {
  const cacheDir = defaultCacheDir();
  await provision([connectComponent], {
    cacheDir,
    jdk: findJdk,
    onProgress: ({ component, message }) => onProgress(`${component}: ${message}`),
  });
  const directory = await environment.directory('connect');
  const port = await freePort();
  const file = join(directory, 'connect.properties');
  const plugins = unitHome(cacheDir, unitOf('connect-plugins'));
  await writeFile(file, toProperties(properties(environment, name, port, plugins)));
  const log = join(directory, 'connect.log');
  const output = openSync(log, 'a');
  const child = spawn(
    join(findJdk().home, 'bin', 'java'),
    [
      ...['-Xms1g', '-Xmx1g', '-XX:+UseSerialGC', '-XX:+ExitOnOutOfMemoryError'],
      ...['-cp', join(unitHome(cacheDir, unitOf('kafka')), 'lib', '*')],
      ...['org.apache.kafka.connect.cli.ConnectDistributed', file],
    ],
    { stdio: ['ignore', output, output] },
  );
  closeSync(output);
  const url = `http://127.0.0.1:${port}`;
  const until = Date.now() + START_TIMEOUT_MS;
  while (Date.now() < until && child.exitCode === null) {
    const answer = await fetch(`${url}/connectors`).catch(() => undefined);
    if (answer?.ok === true) return { url, pid: child.pid ?? -1, end: () => end(child) };
    await delay(200);
  }
  await end(child);
  throw new ReachflowError(`Kafka Connect did not start, see ${log}`, {
    code: 'CONTESTANT_FAILED',
    domain: 'external',
  });
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null) return;
  const ended = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGTERM');
  const kill = setTimeout(() => child.kill('SIGKILL'), EXIT_TIMEOUT_MS);
  await ended;
  clearTimeout(kill);
}
