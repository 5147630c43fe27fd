/** A worker of a trial: the runtime in a process of its own, with the trial's topology and hooks. See `process.ts`. */
import { destination } from 'pino';
import { checkpointConfigSchema } from '../../../runtime/checkpoint/config.ts';
import { deliveryConfigSchema } from '../../../runtime/delivery/config.ts';
import { Engine } from '../../../runtime/engine.ts';
import { createPublisher } from '../../../runtime/kafka/batching-publisher.ts';
import { createKafkaClient } from '../../../runtime/kafka/client.ts';
import { kafkaConfigSchema } from '../../../runtime/kafka/config.ts';
import { logConfigSchema } from '../../../runtime/observability/config.ts';
import { createLogger } from '../../../runtime/observability/logger.ts';
import { stateConfigSchema } from '../../../runtime/state/config.ts';
import { localStates } from '../../../runtime/task/local-states.ts';
import { TopicCodec } from '../../../schemas/codec.ts';
import { createSchemaRegistryClient } from '../../../schemas/registry.ts';
import { Hooks } from './hooks.ts';
import type { TaskReport, WorkerMessage, WorkerSettings } from './settings.ts';
import { POISON, trialTopology } from './topology.ts';

const settings = JSON.parse(process.env['TRIAL_SETTINGS'] ?? '{}') as WorkerSettings;
const logger = createLogger(logConfigSchema.parse({}), {
  destination: destination({ fd: 1, sync: true }),
});
const hooks = new Hooks(settings.hooks);
hooks.install();

/** So little log that a trial sees it rewritten, and deleted, many times. */
const MIN_LOG_BYTES = 50_000;

function tell(message: WorkerMessage): void {
  process.send?.(message);
}

function busyFor(ms: number): void {
  const end = performance.now() + ms;
  while (performance.now() < end);
}

const topology = trialTopology(({ payload }) => {
  hooks.reached('record');
  if (settings.recordMs > 0) busyFor(settings.recordMs);
  if (payload === POISON && !settings.fixed) throw new TypeError('poisoned, as the test wants it');
});

function tasksOf(engine: Engine): TaskReport[] {
  return engine.runners.flatMap((runner) =>
    runner.slots.map(({ partition, life, attempts, restarts, failure }) => ({
      group: runner.name,
      partition,
      life,
      attempts,
      restarts,
      ...(failure === undefined
        ? {}
        : { failure: { code: failure.code, message: failure.message } }),
    })),
  );
}

const { brokers, namespace, maxEpochRecords } = settings;
const client = createKafkaClient(
  kafkaConfigSchema.parse({ brokers, namespace, maxEpochRecords, sessionTimeoutMs: 6_000 }),
  logger,
);
const codec = new TopicCodec(createSchemaRegistryClient(settings.registryUrl), client.physical);
const publisher = await createPublisher(client, codec);
const engine = new Engine({
  client,
  codec,
  publisher,
  pipelines: [topology],
  sinks: [],
  delivery: deliveryConfigSchema.parse({}),
  states: localStates({
    state: stateConfigSchema.parse({ dir: settings.stateDir }),
    checkpoint: checkpointConfigSchema.parse(settings.checkpoint),
    versions: { reachflow: 'trial' },
    logger,
    taskState: { minLogBytes: MIN_LOG_BYTES },
  }),
  logger,
  onFatal(error) {
    logger.fatal({ error, code: error.code }, 'gave up');
    process.exit(1);
  },
});

async function stop(): Promise<void> {
  await engine.stop();
  await publisher.close();
  process.exit(0);
}

process.once('SIGTERM', () => void stop());
// The test run is gone.
process.once('disconnect', () => process.exit(1));
process.on('message', (message) => {
  if (message === 'status') tell({ type: 'status', tasks: tasksOf(engine) });
});
await engine.start();
await engine.whenRunning();
tell({ type: 'ready' });
