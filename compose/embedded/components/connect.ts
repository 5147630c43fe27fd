import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { EmbeddedComponent, StartContext } from '../component.ts';
import { jvmFlags } from '../jvm.ts';
import { embeddedVersions } from '../versions.ts';
import { kafkaClassPath, kafkaLog4j, toProperties } from './kafka.ts';

/** One Connect worker with Debezium and our Avro converter; its state is in Kafka topics. */
export const connectComponent: EmbeddedComponent = {
  name: 'connect',
  version: embeddedVersions.connect,
  jvm: true,
  units: ['kafka', 'connect-plugins'],
  needs: ['kafka'],
  stopSignal: 'SIGTERM',
  stopTimeoutMs: 15_000,

  async prepare(context) {
    await mkdir(context.layout.confDir('connect'), { recursive: true });
    await writeFile(configFile(context), toProperties(workerProperties(context)));
  },

  async command(context) {
    return {
      file: join(context.jdk().home, 'bin', 'java'),
      args: [
        ...jvmFlags(context, {
          name: 'connect',
          unit: 'kafka',
          heapMegabytes: 768,
          compiler: 'full',
        }),
        `-Dlog4j2.configurationFile=${kafkaLog4j}`,
        ...['-cp', kafkaClassPath(context)],
        'org.apache.kafka.connect.cli.ConnectDistributed',
        configFile(context),
      ],
    };
  },
};

function configFile(context: StartContext): string {
  return join(context.layout.confDir('connect'), 'connect-distributed.properties');
}

function workerProperties({ ports, endpoints, home }: StartContext) {
  const converter = 'io.reachflow.connect.ConfluentAvroConverter';
  return {
    'bootstrap.servers': endpoints.kafka.brokers.join(','),
    'group.id': 'reachflow-connect',
    listeners: `http://127.0.0.1:${ports.connect}`,
    'rest.advertised.host.name': '127.0.0.1',
    'rest.advertised.port': ports.connect,
    'plugin.path': home('connect-plugins'),
    'plugin.discovery': 'service_load',
    'key.converter': converter,
    'key.converter.schema.registry.url': endpoints.registry.url,
    'value.converter': converter,
    'value.converter.schema.registry.url': endpoints.registry.url,
    'config.storage.topic': '_connect_configs',
    'config.storage.replication.factor': 1,
    'offset.storage.topic': '_connect_offsets',
    'offset.storage.replication.factor': 1,
    'offset.storage.partitions': 4,
    'status.storage.topic': '_connect_status',
    'status.storage.replication.factor': 1,
    'status.storage.partitions': 1,
    'offset.flush.interval.ms': 5_000,
    'scheduled.rebalance.max.delay.ms': 0,
    // KIP-618: source records and their offsets in one transaction.
    'exactly.once.source.support': 'enabled',
    'connector.client.config.override.policy': 'All',
    'producer.max.request.size': 8 * 1024 * 1024,
  };
}
