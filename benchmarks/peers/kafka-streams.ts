import type { Contestant } from '../harness/contestant.ts';
import { buildPeer } from './build.ts';

export interface StreamsOptions {
  /** Stream threads. */
  readonly threads: number;
  /** Where ids are kept. */
  readonly store: 'window' | 'key-value';
  /** What the repartition topic carries: a byte, or the whole event. */
  readonly group: 'lean' | 'event';
  readonly emit: 'updates' | 'suppress';
}

/** Kafka Streams: see kafka-streams/README.md. */
export async function kafkaStreams(
  options: StreamsOptions,
  onProgress: (text: string) => void,
): Promise<Contestant> {
  const { java, classPath } = await buildPeer('kafka-streams', onProgress);
  const { threads, store, group, emit } = options;
  return {
    name: 'kafka-streams',
    rule: 'due',
    command: ({ work, brokers, stateDir }) => ({
      file: java,
      args: [
        ...[
          '-Xms512m',
          '-Xmx512m',
          '-XX:+UseSerialGC',
          '-Dorg.slf4j.simpleLogger.defaultLogLevel=warn',
        ],
        ...['-cp', classPath, 'io.reachflow.bench.streams.StreamsPeer'],
        ...['--work', work, '--brokers', brokers.join(','), '--state-dir', stateDir],
        ...['--threads', String(threads), '--commit-ms', '100'],
        ...['--store', store, '--group', group, '--emit', emit],
      ],
    }),
  };
}
