import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { checkpointConfigSchema } from '../../runtime/checkpoint/config.ts';
import { deliveryConfigSchema } from '../../runtime/delivery/config.ts';
import type { Sink } from '../../runtime/delivery/sink.ts';
import { Engine } from '../../runtime/engine.ts';
import type { ReachflowError } from '../../runtime/errors.ts';
import { createPublisher, type OwnedPublisher } from '../../runtime/kafka/batching-publisher.ts';
import type { KafkaClient } from '../../runtime/kafka/client.ts';
import type { KafkaConfig } from '../../runtime/kafka/config.ts';
import { stateConfigSchema } from '../../runtime/state/config.ts';
import { localStates } from '../../runtime/task/local-states.ts';
import type { TaskSlot } from '../../runtime/task/task-slot.ts';
import type { Topology } from '../../runtime/topology/graph.ts';
import type { TopicCodec } from '../../schemas/codec.ts';
import { kafkaFixture, testLogger } from './kafka.ts';

export interface InProcess {
  readonly client: KafkaClient;
  readonly codec: TopicCodec;
  readonly publisher: OwnedPublisher;
  readonly engine: Engine;
  /** What the engine gave up for. */
  readonly fatal: readonly ReachflowError[];
  /** The first sub-topology's task on a partition. */
  slot(partition: number): TaskSlot | undefined;
  /** Stops the engine, and removes what it left on the disk. */
  close(): Promise<void>;
}

/** A topology on an engine in this process, on the run's real broker, in a namespace of its own: not started yet. */
export async function inProcess(
  topology: Topology,
  { sinks = [], ...config }: Partial<KafkaConfig> & { readonly sinks?: readonly Sink[] } = {},
): Promise<InProcess> {
  const { client, codec } = kafkaFixture({
    sessionTimeoutMs: 6_000,
    fetchMaxWaitMs: 50,
    ...config,
  });
  const dir = mkdtempSync(join(tmpdir(), 'reachflow-in-process-'));
  const publisher = await createPublisher(client, codec);
  const fatal: ReachflowError[] = [];
  const engine = new Engine({
    client,
    codec,
    publisher,
    pipelines: [topology],
    sinks,
    delivery: deliveryConfigSchema.parse({}),
    states: localStates({
      state: stateConfigSchema.parse({ dir }),
      checkpoint: checkpointConfigSchema.parse({ target: 'none' }),
      versions: { reachflow: 'test' },
      logger: testLogger,
    }),
    logger: testLogger,
    onFatal: (error) => void fatal.push(error),
  });
  return {
    client,
    codec,
    publisher,
    engine,
    fatal,
    slot: (partition) => engine.runners[0]?.slots.find((slot) => slot.partition === partition),
    close: async () => {
      await engine.stop();
      await publisher.close();
      rmSync(dir, { recursive: true, force: true });
    },
  };
}
