import { Command, InvalidArgumentError, Option } from 'commander';
import { requireReplay } from '../../replay/promote.ts';
import type { Edge } from '../../replay/range.ts';
import { createLogger } from '../../runtime/observability/logger.ts';
import { parseSince } from '../dlq/since.ts';
import { openReplays, reading } from '../replay/context.ts';
import {
  clean,
  diff,
  list,
  promote,
  rollback,
  setState,
  start,
  status,
} from '../replay/operate.ts';
import { superviseWorkers } from '../replay/processes.ts';
import { runReplayWorker } from '../replay/worker.ts';
import { numberIn } from './arguments.ts';

const CONFIG = ['--config <file>', 'configuration file'] as const;

function parseEdge(text: string): Edge {
  if (text === 'earliest') return { at: 'beginning' };
  if (text === 'now') return { at: 'end' };
  if (/^\d{1,18}$/.test(text)) return { at: 'offset', offset: BigInt(text) };
  return { at: 'time', time: parseSince(text) };
}

function parseName(text: string): string {
  if (/^[a-z][a-z0-9_]{0,19}$/.test(text)) return text;
  throw new InvalidArgumentError('a lower-case letter, then up to 19 letters, digits and _');
}

interface ConfigOption {
  readonly config?: string;
}

async function work(name: string, { config: file }: ConfigOption): Promise<void> {
  const { config } = await openReplays(file);
  const logger = createLogger(config.log, { bindings: { replay: name } });
  const asked = Promise.withResolvers<string>();
  for (const signal of ['SIGTERM', 'SIGINT'] as const)
    process.once(signal, () => asked.resolve(signal));
  await runReplayWorker(config, logger, name, asked.promise);
  process.exit(0);
}

async function supervise(name: string, { config: file }: ConfigOption): Promise<void> {
  const replay = requireReplay({ state: await reading(await openReplays(file)) }, name);
  await superviseWorkers(replay, file);
  process.exit(0);
}

function addStart(command: Command): void {
  command
    .command('start')
    .description('process old records with other code into tables beside the live ones')
    .requiredOption('--pipeline <name>', 'the pipeline to replay')
    .option('--from <when>', 'earliest, a time, a span such as 7d, or an offset', parseEdge, {
      at: 'beginning',
    } satisfies Edge)
    .option('--to <when>', 'where to end; without it the replay goes on with what comes', parseEdge)
    .option('--code <ref>', 'a git ref of this checkout, or local for its working tree', 'local')
    .option('--into <name>', 'name of the replay, and of its tables (…__r_name)', parseName)
    .option(
      '--rate <n>',
      'records a second at most; 0: as fast as it can',
      numberIn(0, 10_000_000),
      0,
    )
    .option(
      '--max-live-lag <n>',
      'pause while a live group is behind by more records; 0: never',
      numberIn(0, 1_000_000_000),
      5_000,
    )
    .option('--workers <n>', 'processes to start here; 0: start them yourself', numberIn(0, 64), 1)
    .option(...CONFIG)
    .addHelpText(
      'after',
      '\nExamples:\n  reachflow replay start --pipeline contacts --code fix-names --into fix\n  reachflow replay start --pipeline events --from 7d --rate 5000\n  reachflow replay start --pipeline events --from 2026-11-01T00:00Z --to 2026-11-02T00:00Z --into nov1\n',
    )
    .action(start);
}

function addWatching(command: Command): void {
  command
    .command('list')
    .description('the replays there are')
    .option('--json', 'as JSON')
    .option(...CONFIG)
    .action(list);
  command
    .command('status <name>')
    .description('how far a replay is')
    .option('--json', 'as JSON')
    .option(...CONFIG)
    .action(status);
  const states = [
    ['pause', 'paused', 'let a replay stand still, its processes ready'],
    ['resume', 'running', 'let it go on, with processes started here'],
    ['stop', 'stopped', 'end its processes; resume starts them again'],
  ] as const;
  for (const [verb, state, description] of states) {
    command
      .command(`${verb} <name>`)
      .description(description)
      .option(...CONFIG)
      .action((name: string, { config }: ConfigOption) => setState(name, state, config));
  }
}

function addSwapping(command: Command): void {
  command
    .command('diff <name>')
    .description('compare its rows with the live ones, store by store')
    .option('--store <name>', 'only this store')
    .option('--limit <n>', 'rows to show of each table', numberIn(0, 10_000), 10)
    .option('--json', 'as JSON')
    .option(...CONFIG)
    .addHelpText(
      'after',
      '\nExamples:\n  reachflow replay diff fix\n  reachflow replay diff fix --store postgres --limit 100 --json\n',
    )
    .action(diff);
  const release = new Option(
    '--release-timeout <s>',
    'how long running sinks may take to let go, s',
  )
    .argParser(numberIn(1, 3_600))
    .default(60);
  command
    .command('promote <name>')
    .description('put its tables in the place of the live ones; run it again after a crash')
    .option(
      '--accept-diff <n>',
      'rows that may differ: exactly so many',
      numberIn(0, Number.MAX_SAFE_INTEGER),
    )
    .option(
      '--max-lag <n>',
      'records it may be behind when the swap begins',
      numberIn(0, 1_000_000_000),
      1_000,
    )
    .addOption(release)
    .option(...CONFIG)
    .addHelpText('after', '\nExamples:\n  reachflow replay promote fix --accept-diff 1204\n')
    .action(promote);
  command
    .command('rollback <name>')
    .description('put what was live before back in its place')
    .addOption(release)
    .option(...CONFIG)
    .addHelpText('after', '\nExamples:\n  reachflow replay rollback fix\n')
    .action(rollback);
  command
    .command('clean <name>')
    .description('delete the side that is not live: topics, groups and tables')
    .option(...CONFIG)
    .addHelpText(
      'after',
      '\nExamples:\n  reachflow replay stop fix && reachflow replay clean fix\n',
    )
    .action(clean);
}

/** `reachflow replay`. */
export function replayCommand(): Command {
  const command = new Command('replay').description(
    'old records through other code, beside what is live: compare, swap, roll back',
  );
  addStart(command);
  addWatching(command);
  addSwapping(command);
  command
    .command('work <name>', { hidden: true })
    .description('run one worker of a replay in this process')
    .option(...CONFIG)
    .action(work);
  command
    .command('supervise <name>', { hidden: true })
    .description('keep the workers of a replay running')
    .option(...CONFIG)
    .action(supervise);
  return command;
}
