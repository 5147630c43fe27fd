import { openArchive } from '../../history/archive/open.ts';
import type { CheckpointStorage } from '../../runtime/checkpoint/storage.ts';
import type { Claims } from '../../runtime/claims/open.ts';
import type { KafkaClient } from '../../runtime/kafka/client.ts';
import { createLogger } from '../../runtime/observability/logger.ts';
import type { TopicCodec } from '../../schemas/codec.ts';
import { type AppConfig, loadAppConfig } from '../config.ts';
import { kafkaOf } from '../product.ts';

/** What commands on histories have. */
export interface HistoryContext {
  readonly config: AppConfig;
  readonly client: KafkaClient;
  readonly codec: TopicCodec;
  readonly claims: Claims;
  readonly archive: CheckpointStorage;
}

/** @param file the configuration, where one is named. Connects to nothing. */
export async function openHistoryContext(file: string | undefined): Promise<HistoryContext> {
  const { config } = await loadAppConfig(file === undefined ? {} : { file });
  const logger = createLogger({ ...config.log, level: 'error' });
  return { config, ...kafkaOf(config, logger), archive: openArchive(config.archive) };
}
