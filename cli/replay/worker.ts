import { join } from 'node:path';
import type { Logger } from 'pino';
import { pipelines } from '../../pipelines/catalog.ts';
import { type ControlState, followControl } from '../../replay/control.ts';
import type { Replay } from '../../replay/journal.ts';
import { suffixOf } from '../../replay/ownership.ts';
import { Pace } from '../../replay/pace.ts';
import { requireReplay } from '../../replay/promote.ts';
import { sceneOf } from '../../replay/scene.ts';
import { Engine } from '../../runtime/engine.ts';
import type { ReachflowError } from '../../runtime/errors.ts';
import { createLazyPublisher } from '../../runtime/kafka/batching-publisher.ts';
import { createKafkaClient } from '../../runtime/kafka/client.ts';
import { sinks } from '../../sinks/registry.ts';
import type { AppConfig } from '../config.ts';
import { codecOf, kafkaOf, statesOf } from '../product.ts';

/** Input records of one transaction: nobody waits for the next one. */
const EPOCH_RECORDS = 20_000;

/** What of a replay runs in a state; undefined: its workers are done. */
type Parts = 'all' | 'pipeline' | 'nothing' | undefined;

function partsIn({ state }: Replay): Parts {
  if (state === 'running') return 'all';
  // The swap leaves the pipeline alone: only its sinks hand over.
  if (state === 'promoting' || state === 'promoted' || state === 'reverting') return 'pipeline';
  return state === 'paused' ? 'nothing' : undefined;
}

interface Running {
  readonly parts: Parts;
  stop(): Promise<void>;
}

/**
 * One worker process of a replay: its pipeline, and the sinks of what that writes, as its journal says. It ends when the
 * replay is stopped, or cleaned.
 * @throws ReachflowError `REPLAY_NOT_FOUND`; what a part gave up for.
 */
export async function runReplayWorker(
  config: AppConfig,
  logger: Logger,
  name: string,
  until: Promise<unknown>,
): Promise<void> {
  const { client } = kafkaOf(config, logger);
  const over = Promise.withResolvers<void>();
  void until.then(() => over.resolve());
  const onFatal = (error: ReachflowError) => over.reject(error);
  let running: Running = { parts: 'nothing', stop: async () => undefined };
  let changing: Promise<void> = Promise.resolve();
  const take = (state: ControlState) => {
    changing = changing
      .then(async () => {
        const replay = requireReplay({ state }, name);
        const parts = partsIn(replay);
        if (parts === running.parts) return;
        logger.info({ replay: name, state: replay.state, parts }, 'the replay goes on');
        await running.stop();
        running = { parts, stop: async () => undefined };
        if (parts === undefined) over.resolve();
        else if (parts !== 'nothing') running = await start(config, logger, replay, state, onFatal);
      })
      .catch((error: unknown) => over.reject(error));
  };
  const { state, follower } = await followControl(client, take, onFatal);
  take(state);
  try {
    await over.promise;
  } finally {
    await changing;
    await running.stop();
    await follower.stop();
  }
}

async function start(
  config: AppConfig,
  logger: Logger,
  replay: Replay,
  state: ControlState,
  onFatal: (error: ReachflowError) => void,
): Promise<Running> {
  const parts = partsIn(replay);
  const scene = sceneOf({ config, logger, catalog: pipelines, active: pipelines }, state, replay);
  const kafka = {
    ...config.kafka,
    maxEpochRecords: Math.max(EPOCH_RECORDS, config.kafka.maxEpochRecords),
  };
  const client = createKafkaClient(kafka, logger, scene.generationOf);
  const { claims } = kafkaOf(config, logger);
  const codec = codecOf(config, client, claims);
  const publisher = createLazyPublisher(client, codec);
  const pace = new Pace(replay, scene.live, scene.groups, logger);
  const shadow = { suffix: suffixOf(replay.name), topics: scene.outputs };
  const engine = new Engine({
    ...{ client, codec, publisher, delivery: config.delivery, logger, onFatal, input: pace },
    pipelines: [scene.topology],
    sinks:
      parts === 'all'
        ? sinks
            .filter((entry) => scene.stores.includes(entry.name))
            .map(({ createSink }) =>
              createSink(config, { logger, parts: config.pipelines.optional, shadow }),
            )
        : [],
    states: statesOf(
      { ...config, state: { ...config.state, dir: join(replay.home, 'state') } },
      logger,
    ),
  });
  await engine.start();
  return {
    parts,
    stop: async () => {
      pace.close();
      await engine.stop();
      await publisher.close();
      claims.storage.close();
    },
  };
}
