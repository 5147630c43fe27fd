import type { Logger } from 'pino';
import type { Chart } from '../dashboards/chart.ts';
import type { KafkaClient } from '../runtime/kafka/client.ts';
import type { StatusData } from '../runtime/observability/status-data.ts';
import type { TopicCodec } from '../schemas/codec.ts';
import type { OptionalPart } from '../schemas/topics.ts';
import type { ClickhouseConfig } from '../sinks/clickhouse/config.ts';
import type { ConsoleConfig } from './config.ts';
import type { Parts } from './pipelines/graph.ts';

/** What a console is given by whoever starts it. */
export interface ConsoleDeps {
  readonly config: ConsoleConfig;
  readonly clickhouse: ClickhouseConfig;
  readonly client: KafkaClient;
  readonly codec: TopicCodec;
  readonly logger: Logger;
  readonly charts: readonly Chart[];
  /** What runs here; the graph. */
  readonly parts: Parts;
  readonly optional: readonly OptionalPart[];
  readonly readStatus: () => Promise<StatusData>;
  readonly version: string;
  readonly namespace: string;
}
