import type { Logger } from 'pino';
import { connectors } from '../connectors/registry.ts';
import { type Console, createConsole } from '../console/console.ts';
import { charts } from '../dashboards/charts.ts';
import { activePipelines } from '../pipelines/catalog.ts';
import { createLazyPublisher } from '../runtime/kafka/batching-publisher.ts';
import { localUrlOf } from '../runtime/observability/server.ts';
import { readStatus } from '../runtime/observability/status-data.ts';
import { openSpool } from '../runtime/spool/open-spool.ts';
import { isTopicName } from '../schemas/topics.ts';
import { createSinks } from '../sinks/registry.ts';
import type { AppConfig } from './config.ts';
import { connectorEnvironment, kafkaOf, watchedGroups } from './product.ts';
import { VERSION } from './version.ts';

/** The console of an installation, by its configuration: not started yet, and connected to nothing. */
export function consoleOf(config: AppConfig, logger: Logger): Console {
  const { client, codec } = kafkaOf(config, logger);
  const { optional } = config.pipelines;
  const { enabled, host, port } = config.observability;
  const status = {
    client,
    groups: watchedGroups(config, logger),
    workers: [],
    local: enabled && port !== 0 ? localUrlOf(host, port) : undefined,
  };
  return createConsole({
    ...{ config: config.console, clickhouse: config.clickhouse, client, codec, logger, charts },
    ...{ optional, version: VERSION, namespace: config.kafka.namespace },
    readStatus: () => readStatus(status),
    parts: {
      connectors: connectorTopics(config, logger, { client, codec }),
      pipelines: activePipelines(config),
      sinks: createSinks(config, { logger, parts: optional }).map(({ name, topics }) => ({
        name,
        topics,
      })),
    },
  });
}

/** What each connector fills: those are made, and never started. */
function connectorTopics(
  config: AppConfig,
  logger: Logger,
  kafka: Pick<ReturnType<typeof kafkaOf>, 'client' | 'codec'>,
) {
  const publisher = createLazyPublisher(kafka.client, kafka.codec);
  return connectors.map(({ name, create }) => {
    const { topics } = create(config, {
      ...{ ...kafka, publisher, registry: config.registry, logger },
      openSpool: (topic, spool) => openSpool({ ...kafka, topic, config: spool, logger }),
      ...connectorEnvironment(config),
    });
    return { name, topics: topics.filter(isTopicName) };
  });
}
