/** `npm run bench -- <scenario>`: ratios against peers, on one broker, in alternating runs. See README.md. */
import { Command, InvalidArgumentError, Option } from 'commander';
import { note } from '../cli/output.ts';
import { errorMessage, ReachflowError } from '../runtime/errors.ts';
import type { Contestant } from './harness/contestant.ts';
import { openEnvironment } from './harness/environment.ts';
import { reachflow } from './harness/ours.ts';
import { print, type Report, writeJson } from './harness/report.ts';
import type { Scenario } from './harness/scenario.ts';
import { flink } from './peers/flink.ts';
import { kafkaStreams } from './peers/kafka-streams.ts';
import { scenarios } from './scenarios/index.ts';

const RUNS = 3;
const PEERS = ['kafka-streams', 'flink'] as const;

interface Options {
  readonly records?: number;
  readonly events?: number;
  readonly warmUp?: number;
  readonly runs?: number;
  readonly seed: number;
  readonly partitions: number;
  readonly keys: readonly number[];
  readonly peers: readonly string[];
  readonly ours: boolean;
  readonly state: 'lmdb' | 'memory';
  readonly threads: number;
  readonly store: 'window' | 'key-value';
  readonly group: 'lean' | 'event';
  readonly emit: 'updates' | 'suppress';
  readonly stackDir?: string;
  readonly json?: string;
}

function count(text: string): number {
  const value = Number(text.replaceAll('_', ''));
  if (!Number.isInteger(value) || value < 0) throw new InvalidArgumentError('a whole number');
  return value;
}

function peerNames(text: string): readonly string[] {
  const names = text.split(',').filter((name) => name !== '' && name !== 'none');
  const unknown = names.find((name) => !(PEERS as readonly string[]).includes(name));
  if (unknown !== undefined)
    throw new InvalidArgumentError(`peers are ${PEERS.join(', ')} or none`);
  return names;
}

async function contestantsFor(scenario: Scenario, options: Options): Promise<Contestant[]> {
  const us = reachflow(options.state);
  if (!scenario.peers) return [us];
  const contestants: Contestant[] = options.ours ? [us] : [];
  for (const name of options.peers) {
    if (name === 'kafka-streams') contestants.push(await kafkaStreams(options, note));
    if (name === 'flink' && scenario.name !== 't0') contestants.push(await flink(options, note));
  }
  return contestants;
}

async function run(scenario: Scenario, options: Options): Promise<void> {
  const { partitions, stackDir, seed, keys, threads, store, group, emit } = options;
  const records = options.records ?? options.events ?? scenario.defaults.records;
  const warmUp = options.warmUp ?? scenario.defaults.warmUp;
  const runs = options.runs ?? scenario.defaults.runs ?? RUNS;
  const contestants = await contestantsFor(scenario, options);
  const environment = await openEnvironment({
    stackDir,
    partitions,
    stores: scenario.stores,
    onProgress: note,
  });
  const settings = { records, warmUp, runs, seed, keys };
  const result = await scenario.run(environment, contestants, { ...settings, onProgress: note });
  const report: Report = {
    scenario: scenario.name,
    options: { ...settings, partitions, threads, store, group, emit },
    ...result,
  };
  print(report);
  if (options.json !== undefined) writeJson(options.json, report);
  await environment.close();
}

const program = new Command('bench')
  .description('Ratios against peers, on one broker, in alternating runs: benchmarks/README.md.')
  .showHelpAfterError();

for (const scenario of scenarios) {
  program
    .command(scenario.name)
    .description(scenario.summary)
    .option('--records <n>', `records of a run (default: ${scenario.defaults.records})`, count)
    .option('--events <n>', 'the same as --records', count)
    .option('--warm-up <n>', `records before that (default: ${scenario.defaults.warmUp})`, count)
    .option(
      '--runs <n>',
      `runs of each contestant, in turn (default: ${scenario.defaults.runs ?? RUNS})`,
      count,
    )
    .option('--seed <n>', 'another input of the same kind', count, 1)
    .option('--partitions <n>', 'of each topic', count, 4)
    .option(
      '--keys <n,…>',
      'keys in state, for the scenario `keys`',
      (text) => text.split(',').map(count),
      [10_000, 100_000, 1_000_000, 10_000_000],
    )
    .option('--peers <name,…>', `who else runs: ${PEERS.join(', ')}, none`, peerNames, [
      'kafka-streams',
    ])
    .option('--no-ours', 'peers only')
    .addOption(
      new Option('--state <backend>', 'where Reachflow keeps its state')
        .choices(['lmdb', 'memory'])
        .default('lmdb'),
    )
    .option('--threads <n>', "a peer's threads", count, 2)
    .addOption(
      new Option('--store <kind>', 'where Kafka Streams keeps ids')
        .choices(['window', 'key-value'])
        .default('window'),
    )
    .addOption(
      new Option('--group <kind>', 'what its repartition topic carries')
        .choices(['lean', 'event'])
        .default('lean'),
    )
    .addOption(
      new Option('--emit <kind>', 'when it emits a window')
        .choices(['updates', 'suppress'])
        .default('updates'),
    )
    .option('--stack-dir <directory>', 'start or find an embedded stack of what is needed here')
    .option('--json <file>', 'write the report, too')
    .action((options: Options) => run(scenario, options));
}

program
  .command('clean')
  .description('remove the topics that interrupted benchmarks have left')
  .option('--stack-dir <directory>', 'the stack in which they ran')
  .action(async ({ stackDir }: Pick<Options, 'stackDir'>) => {
    const environment = await openEnvironment({ stackDir, partitions: 1, onProgress: note });
    note(`${await environment.clean()} topics removed`);
  });

try {
  await program.parseAsync();
} catch (error) {
  note(`error: ${errorMessage(error)}`);
  if (error instanceof ReachflowError && error.hint !== undefined) note(`  hint: ${error.hint}`);
  process.exit(1);
}
// The registry's client keeps connections open for a while.
process.exit(0);
