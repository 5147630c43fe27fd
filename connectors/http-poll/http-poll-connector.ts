import { Counter } from 'prom-client';
import { ensureTopics } from '../../runtime/kafka/admin.ts';
import { partitionOfKey } from '../../runtime/kafka/murmur2.ts';
import {
  type PartitionConsumer,
  startPartitionConsumer,
} from '../../runtime/kafka/partition-consumer.ts';
import { POLL_POSITIONS_TOPIC } from '../../schemas/topics.ts';
import type { Connector } from '../connector.ts';
import { connectorOf } from '../lifecycle.ts';
import type { ConnectorServices } from '../services.ts';
import type { HttpPollConfig } from './config.ts';
import { Poller, type PollerDeps } from './poller.ts';
import { POLLED_TOPIC } from './writer.ts';

const GROUP = 'http-poll';
/** Fixed: a source's partition follows from its name. As many processes can share the sources. */
const PARTITIONS = 16;
const POSITION_BYTES = 1_048_576;

type Services = Pick<ConnectorServices, 'client' | 'codec' | 'claims' | 'logger' | 'metrics'>;

/**
 * Pulls HTTP sources into `webhook.received`. Which process pulls a source is a matter of a consumer group on the topic of
 * positions: who has a source's partition pulls it, and fences who had it before by its transactional id.
 */
export function createHttpPollConnector(config: HttpPollConfig, services: Services): Connector {
  const logger = services.logger.child({ connector: 'http-poll' });
  const counts = counters(services.metrics);
  return connectorOf('http-poll', [POLLED_TOPIC], async () => {
    const names = Object.keys(config.sources);
    if (names.length === 0)
      return { detail: () => 'no sources are configured', close: async () => undefined };
    const pollers = new OwnedPollers(config, { ...services, ...counts, logger });
    await ensureTopics(services.client, [
      {
        name: POLL_POSITIONS_TOPIC,
        partitions: PARTITIONS,
        cleanup: 'compact',
        retentionMs: -1,
        maxMessageBytes: POSITION_BYTES,
      },
    ]);
    let lost: string | undefined;
    const consumer = await join(services, pollers, (reason) => {
      lost = reason;
    });
    return {
      detail: () => pollers.describe(),
      trouble: () => lost ?? pollers.trouble(),
      close: async () => {
        await pollers.close();
        await consumer.stop();
      },
    };
  });
}

/** Joins the group that shares the sources; nothing is read by it. */
function join(
  { client }: Services,
  pollers: OwnedPollers,
  onLost: (reason: string) => void,
): Promise<PartitionConsumer> {
  return startPartitionConsumer(client, {
    group: GROUP,
    topics: [POLL_POSITIONS_TOPIC],
    assignment: 'co-partitioned',
    startPaused: true,
    minBytes: 1,
    maxWaitMs: client.config.fetchMaxWaitMs,
    concurrency: 1,
    handler: {
      onAssigned: (held) => pollers.own(new Set(held.map(({ partition }) => partition))),
      onRebalance: () => pollers.own(new Set()),
      onBatch: async () => undefined,
      onNothing: async () => undefined,
    },
    onFatal: (error) => onLost(error.message),
  });
}

/** The sources that are this process's at present. */
class OwnedPollers {
  readonly #config: HttpPollConfig;
  readonly #deps: PollerDeps;
  #pollers: readonly Poller[] = [];
  /** One change after the other: a rebalance may come while the last is still being taken up. */
  #changed: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(config: HttpPollConfig, deps: PollerDeps) {
    this.#config = config;
    this.#deps = deps;
  }

  /** Pulls the sources of these partitions, and no others: what was pulled before is ended first, at a commit. */
  own(partitions: ReadonlySet<number>): Promise<void> {
    this.#changed = this.#changed.then(() => this.#change(partitions));
    return this.#changed;
  }

  /** Pulls nothing any more, for good. */
  close(): Promise<void> {
    this.#closed = true;
    return this.own(new Set());
  }

  async #change(partitions: ReadonlySet<number>): Promise<void> {
    const before = this.#pollers;
    this.#pollers = [];
    await Promise.all(before.map((poller) => poller.stop()));
    if (this.#closed) return;
    this.#pollers = Object.entries(this.#config.sources).flatMap(([name, source]) => {
      const partition = partitionOfKey(name, PARTITIONS);
      return partitions.has(partition) ? [new Poller(name, source, partition, this.#deps)] : [];
    });
    for (const poller of this.#pollers) poller.start();
  }

  describe(): string {
    const all = Object.keys(this.#config.sources).length;
    const own = this.#pollers.map(({ name }) => name).join(', ');
    return `${this.#pollers.length} of ${all} sources are pulled here${own === '' ? '' : `: ${own}`}`;
  }

  trouble(): string | undefined {
    const sick = this.#pollers.filter(({ trouble }) => trouble !== undefined);
    if (sick.length === 0) return undefined;
    return sick.map(({ name, trouble }) => `${name}: ${trouble}`).join('; ');
  }
}

function counters(
  metrics: ConnectorServices['metrics'],
): Pick<PollerDeps, 'onAnswer' | 'onRecords'> {
  const registers = metrics === undefined ? [] : [metrics.registry];
  const answers = new Counter({
    name: 'reachflow_poll_answers_total',
    help: 'Answers of polled sources, by source and HTTP status.',
    labelNames: ['source', 'status'],
    registers,
  });
  const records = new Counter({
    name: 'reachflow_poll_records_total',
    help: 'Records of polled sources that were committed.',
    labelNames: ['source'],
    registers,
  });
  return {
    onAnswer: (source, status) => answers.inc({ source, status: String(status) }),
    onRecords: (source, count) => records.inc({ source }, count),
  };
}
