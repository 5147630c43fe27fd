/**
 * Our side of a benchmark: a process that the harness starts, and that works on one namespace after the other.
 * `node benchmarks/ours.ts --work t1 --brokers host:port --registry url --state-dir dir --checkpoint-dir dir`
 */
import { parseArgs } from 'node:util';
import { pino } from 'pino';
import { type CheckpointConfig, checkpointConfigSchema } from '../runtime/checkpoint/config.ts';
import { deliveryConfigSchema } from '../runtime/delivery/config.ts';
import { Engine } from '../runtime/engine.ts';
import { createPublisher } from '../runtime/kafka/batching-publisher.ts';
import { createKafkaClient } from '../runtime/kafka/client.ts';
import { kafkaConfigSchema } from '../runtime/kafka/config.ts';
import { stateConfigSchema } from '../runtime/state/config.ts';
import { localStates } from '../runtime/task/local-states.ts';
import { TopicCodec } from '../schemas/codec.ts';
import { createSchemaRegistryClient } from '../schemas/registry.ts';
import type { WorkName } from './harness/contestant.ts';
import { serve, type Work } from './harness/protocol.ts';
import { readsOf, topologies } from './topologies.ts';

const { values } = parseArgs({
  options: {
    work: { type: 'string', default: 't1' },
    brokers: { type: 'string', default: '127.0.0.1:9092' },
    registry: { type: 'string', default: '' },
    state: { type: 'string', default: 'lmdb' },
    'state-dir': { type: 'string', default: '' },
    'checkpoint-dir': { type: 'string', default: '' },
    'checkpoint-ms': { type: 'string' },
  },
});

function workName(given: string): WorkName {
  const known = Object.keys(topologies) as WorkName[];
  const found = known.find((name) => name === given);
  if (found === undefined) throw new Error(`there is no work ${given}, only ${known.join(', ')}`);
  return found;
}

const logger = pino({ level: 'warn' }, pino.destination(2));
const topology = topologies[workName(values.work)];

/** As in production, unless the harness wants checkpoints more often. */
function checkpointConfig(): CheckpointConfig {
  const intervalMs = values['checkpoint-ms'];
  return checkpointConfigSchema.parse({
    directory: values['checkpoint-dir'],
    ...(intervalMs === undefined ? {} : { intervalMs: Number(intervalMs) }),
  });
}

function createWork(): Work {
  let stop: (() => Promise<void>) | undefined;
  return {
    async start({ name }) {
      const began = performance.now();
      const client = createKafkaClient(
        kafkaConfigSchema.parse({ brokers: values.brokers.split(','), namespace: name }),
        logger,
      );
      const codec = new TopicCodec(createSchemaRegistryClient(values.registry), client.physical);
      const publisher = await createPublisher(client, codec);
      const states = localStates({
        state: stateConfigSchema.parse({ backend: values.state, dir: values['state-dir'] }),
        checkpoint: checkpointConfig(),
        versions: { node: process.versions.node },
        logger,
      });
      const engine = new Engine({
        ...{ client, codec, publisher, logger, states },
        ...{ pipelines: [topology], sinks: [], delivery: deliveryConfigSchema.parse({}) },
        onFatal: (error) => {
          throw error;
        },
      });
      stop = async () => {
        await engine.stop();
        await publisher.close();
      };
      await engine.start();
      await engine.whenRunning();
      return { reads: readsOf(topology), figures: { runningMs: performance.now() - began } };
    },
    async finish() {
      await stop?.();
      stop = undefined;
    },
  };
}

await serve(createWork());
