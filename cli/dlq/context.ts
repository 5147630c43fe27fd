import { pipelines } from '../../pipelines/catalog.ts';
import { dlqTopics } from '../../runtime/delivery/dlq-reader.ts';
import { ReachflowError } from '../../runtime/errors.ts';
import type { KafkaClient } from '../../runtime/kafka/client.ts';
import { createLogger } from '../../runtime/observability/logger.ts';
import type { TopicCodec } from '../../schemas/codec.ts';
import { sinkNames } from '../../sinks/registry.ts';
import { type AppConfig, loadAppConfig } from '../config.ts';
import { kafkaOf } from '../product.ts';

/** What every command of the DLQ has. */
export interface DlqContext {
  readonly config: AppConfig;
  readonly client: KafkaClient;
  readonly codec: TopicCodec;
}

/** @param file the configuration, where one is named. */
export async function openDlqContext(file: string | undefined): Promise<DlqContext> {
  const { config } = await loadAppConfig(file === undefined ? {} : { file });
  return { config, ...kafkaOf(config, createLogger({ ...config.log, level: 'error' })) };
}

/** The queues that a command is about. @throws ReachflowError `DLQ_NOT_FOUND`. */
export async function queuesOf(client: KafkaClient, topic: string | undefined): Promise<string[]> {
  const queues = await dlqTopics(client, topic);
  if (queues.length > 0) return queues;
  const all = await dlqTopics(client);
  const message =
    topic === undefined ? 'there are no dead letter queues' : `no queue's name contains ${topic}`;
  throw new ReachflowError(message, {
    code: 'DLQ_NOT_FOUND',
    domain: 'user',
    hint:
      all.length === 0
        ? 'The first `reachflow run` creates them.'
        : `There are: ${all.join(', ')}.`,
  });
}

/** Refuses to send where nobody reads. @throws ReachflowError `DLQ_CONSUMER_UNKNOWN`. */
export function requireConsumer(consumer: string): void {
  const known = [...pipelines.map(({ name }) => name), ...sinkNames];
  if (known.includes(consumer)) return;
  throw new ReachflowError(
    `nobody reads what would be sent to ${consumer}: there is no such part`,
    {
      code: 'DLQ_CONSUMER_UNKNOWN',
      domain: 'user',
      hint: `Is it an old name? There are: ${known.join(', ')}. Drop its letters, or leave them to expire.`,
    },
  );
}
