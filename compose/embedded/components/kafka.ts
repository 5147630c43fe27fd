import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { EmbeddedComponent, StartContext } from '../component.ts';
import { jvmFlags } from '../jvm.ts';
import { composeDir } from '../layout.ts';
import { runPreparation } from '../preparation.ts';
import { embeddedVersions } from '../versions.ts';

/** Largest record batch: a webhook body may have 5 MB, and a claim-checked record stays far below. */
const MAX_MESSAGE_BYTES = 8 * 1024 * 1024;

export const kafkaLog4j = join(composeDir, 'embedded', 'kafka', 'log4j2.yaml');

/** One Kafka node, broker and KRaft controller at once (KIP-500, KIP-631). */
export const kafkaComponent: EmbeddedComponent = {
  name: 'kafka',
  version: embeddedVersions.kafka,
  jvm: true,
  units: ['kafka'],
  needs: [],
  stopSignal: 'SIGTERM',
  stopTimeoutMs: 15_000,

  async prepare(context) {
    const { layout } = context;
    await mkdir(layout.confDir('kafka'), { recursive: true });
    await mkdir(layout.dataDir('kafka'), { recursive: true });
    await writeFile(configFile(context), toProperties(serverProperties(context)));
    await formatOnce(context);
  },

  async command(context) {
    return {
      file: join(context.jdk().home, 'bin', 'java'),
      args: [
        ...jvmFlags(context, {
          name: 'kafka',
          unit: 'kafka',
          heapMegabytes: 512,
          compiler: 'full',
        }),
        `-Dlog4j2.configurationFile=${kafkaLog4j}`,
        ...['-cp', kafkaClassPath(context), 'kafka.Kafka', configFile(context)],
      ],
    };
  },
};

/** The JVM expands the wildcard itself, and keeps the command line readable. */
export function kafkaClassPath(context: StartContext): string {
  return join(context.home('kafka'), 'lib', '*');
}

/** Java properties text. Values are ours (paths, ports), so only what a path may hold needs escaping. */
export function toProperties(
  settings: Readonly<Record<string, string | number | boolean>>,
): string {
  return Object.entries(settings)
    .map(([key, value]) => `${key}=${String(value).replaceAll('\\', '\\\\')}\n`)
    .join('');
}

function configFile(context: StartContext): string {
  return join(context.layout.confDir('kafka'), 'server.properties');
}

function serverProperties({ layout, ports }: StartContext) {
  const broker = `127.0.0.1:${ports.kafka}`;
  const controller = `127.0.0.1:${ports.kafkaController}`;
  return {
    'process.roles': 'broker,controller',
    'node.id': 1,
    'controller.quorum.voters': `1@${controller}`,
    listeners: `PLAINTEXT://${broker},CONTROLLER://${controller}`,
    'advertised.listeners': `PLAINTEXT://${broker}`,
    'inter.broker.listener.name': 'PLAINTEXT',
    'controller.listener.names': 'CONTROLLER',
    'listener.security.protocol.map': 'CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT',
    'log.dirs': layout.dataDir('kafka'),
    'message.max.bytes': MAX_MESSAGE_BYTES,
    'replica.fetch.max.bytes': MAX_MESSAGE_BYTES,
    // A misspelt topic must fail; Connect creates its own topics explicitly.
    'auto.create.topics.enable': false,
    'num.partitions': 4,
    'default.replication.factor': 1,
    'offsets.topic.replication.factor': 1,
    'offsets.topic.num.partitions': 8,
    'transaction.state.log.replication.factor': 1,
    'transaction.state.log.min.isr': 1,
    'transaction.state.log.num.partitions': 8,
    'share.coordinator.state.topic.replication.factor': 1,
    'share.coordinator.state.topic.min.isr': 1,
    'group.initial.rebalance.delay.ms': 0,
    // After a SIGKILL the controller refuses the restarted broker until its old session has ended (default 9 s).
    'broker.session.timeout.ms': 5_000,
    'broker.heartbeat.interval.ms': 1_000,
    'log.segment.bytes': 134_217_728,
    'log.cleaner.dedupe.buffer.size': 33_554_432,
    'num.network.threads': 2,
    'num.io.threads': 4,
  };
}

/** Give the data directory its cluster id. The tool skips what an interrupted run has formatted already. */
async function formatOnce(context: StartContext): Promise<void> {
  if (existsSync(join(context.layout.dataDir('kafka'), 'meta.properties'))) return;
  await runPreparation(
    context.layout,
    'kafka',
    'Formatting the Kafka data directory',
    {
      file: join(context.jdk().home, 'bin', 'java'),
      args: [
        ...jvmFlags(context, {
          name: 'kafka-format',
          unit: 'kafka',
          heapMegabytes: 128,
          compiler: 'quick',
        }),
        `-Dlog4j2.configurationFile=${kafkaLog4j}`,
        ...['-cp', kafkaClassPath(context), 'kafka.tools.StorageTool', 'format'],
        ...['--ignore-formatted', '-t', context.clusterId, '-c', configFile(context)],
      ],
    },
    context.signal,
  );
}
