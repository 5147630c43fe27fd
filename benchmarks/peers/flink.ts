import type { Contestant } from '../harness/contestant.ts';
import { buildPeer } from './build.ts';

/** Packages that Flink reaches into by reflection: its own start scripts open them, too. */
const OPENED = [
  'java.base/java.lang',
  'java.base/java.util',
  'java.base/java.time',
  'java.base/java.nio',
];

/** Flink's embedded cluster: see flink/README.md. T1 only. @param options.threads parallelism. */
export async function flink(
  options: { readonly threads: number },
  onProgress: (text: string) => void,
): Promise<Contestant> {
  const { java, classPath } = await buildPeer('flink', onProgress);
  return {
    name: 'flink',
    rule: 'due',
    command: ({ brokers, stateDir }) => ({
      file: java,
      args: [
        ...['-Xms1g', '-Xmx1g', '-Dorg.slf4j.simpleLogger.defaultLogLevel=warn'],
        ...OPENED.map((name) => `--add-opens=${name}=ALL-UNNAMED`),
        ...['-cp', classPath, 'io.reachflow.bench.flink.FlinkPeer'],
        ...['--brokers', brokers.join(','), '--state-dir', stateDir],
        ...['--threads', String(options.threads)],
      ],
    }),
  };
}
