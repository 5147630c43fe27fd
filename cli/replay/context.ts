import { activePipelines, pipelines } from '../../pipelines/catalog.ts';
import { type ControlState, ControlWriter, readControl } from '../../replay/control.ts';
import type { ReplayHome } from '../../replay/scene.ts';
import type { KafkaClient } from '../../runtime/kafka/client.ts';
import { createLogger } from '../../runtime/observability/logger.ts';
import { type AppConfig, loadAppConfig } from '../config.ts';
import { kafkaOf } from '../product.ts';

/** What the commands on replays share. */
export interface ReplayContext {
  readonly config: AppConfig;
  readonly client: KafkaClient;
  readonly home: ReplayHome;
}

/** @param file the configuration, where one is named. */
export async function openReplays(file: string | undefined): Promise<ReplayContext> {
  const { config } = await loadAppConfig(file === undefined ? {} : { file });
  const logger = createLogger({ ...config.log, level: 'error' });
  const { client } = kafkaOf(config, logger);
  return {
    config,
    client,
    home: { config, logger, catalog: pipelines, active: activePipelines(config) },
  };
}

/** Runs `work` as the one that writes the journal. @throws what `work` does, `KAFKA_UNAVAILABLE`. */
export async function writing<T>(
  { client }: ReplayContext,
  work: (writer: ControlWriter) => Promise<T>,
): Promise<T> {
  const writer = await ControlWriter.open(client);
  try {
    return await work(writer);
  } finally {
    await writer.close();
  }
}

/** What the journal says now. @throws ReachflowError `KAFKA_UNAVAILABLE`. */
export function reading({ client }: ReplayContext): Promise<ControlState> {
  return readControl(client);
}
