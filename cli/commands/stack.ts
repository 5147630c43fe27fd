import { resolve } from 'node:path';
import { Command, InvalidArgumentError, Option } from 'commander';
import type { EngineAccess } from '../../compose/endpoints.ts';
import { externalStatus, withoutPasswords } from '../../compose/external.ts';
import {
  type ComponentName,
  componentNames,
  downStack,
  isComponentName,
  resetStack,
  type StackEndpoints,
  type StackEngine,
  type StackEvent,
  type StackStatus,
  stackEngines,
  stackLogs,
  stackStatus,
  upStack,
} from '../../compose/stack.ts';
import { ReachflowError } from '../../runtime/errors.ts';
import { loadAppConfig } from '../config.ts';
import { accessOf, endpointsOf } from '../endpoints.ts';
import { line } from '../output.ts';
import { createStackView, statusTable } from '../stack-view.ts';

interface CommonOptions {
  readonly engine?: StackEngine;
  readonly dir?: string;
  readonly json?: boolean;
  readonly config?: string;
}

interface Settings {
  readonly engine: StackEngine;
  readonly dir: string;
  readonly cacheDir: string;
  readonly endpoints: StackEndpoints;
  /** Your own engines only: nothing else needs what it reads. */
  readonly access?: EngineAccess;
}

async function settingsOf(options: CommonOptions): Promise<Settings> {
  const { config } = await loadAppConfig(
    options.config === undefined ? {} : { file: options.config },
  );
  const { stack } = config;
  const engine = options.engine ?? stack.engine;
  return {
    engine,
    dir: resolve(options.dir ?? stack.dir),
    cacheDir: resolve(stack.cacheDir),
    endpoints: endpointsOf(config),
    ...(engine === 'external' ? { access: accessOf(config) } : {}),
  };
}

/** Run an operation with its progress on the terminal (standard error, so that `--json` stays parsable). */
async function withView<T>(
  use: (onProgress: (event: StackEvent) => void) => Promise<T>,
): Promise<T> {
  const view = createStackView();
  try {
    return await use((event) => view.show(event));
  } finally {
    view.end();
  }
}

/** The passwords of our own development engines are public; those of yours are not. */
function print(found: StackStatus, options: CommonOptions): void {
  const status = found.engine === 'external' ? withoutPasswords(found) : found;
  line(options.json === true ? JSON.stringify(status, null, 2) : statusTable(status));
}

async function up(options: CommonOptions): Promise<void> {
  const settings = await settingsOf(options);
  const interrupted = new AbortController();
  const onSignal = (): void => interrupted.abort();
  process.once('SIGINT', onSignal).once('SIGTERM', onSignal);
  try {
    const running = await withView((onProgress) =>
      upStack({ ...settings, onProgress, signal: interrupted.signal }),
    );
    print(running, options);
    if (options.json !== true && settings.engine !== 'external') {
      line(
        running.started
          ? 'The stack runs until `reachflow stack down`.'
          : 'The stack was running already.',
      );
    }
  } finally {
    process.off('SIGINT', onSignal).off('SIGTERM', onSignal);
  }
}

async function down(options: CommonOptions): Promise<void> {
  const { dir } = await settingsOf(options);
  const stopped = await withView((onProgress) => downStack(dir, onProgress));
  if (options.json === true) line(JSON.stringify({ stopped }));
  else
    line(
      stopped.length === 0 ? `Nothing was running in ${dir}.` : `Stopped. Data stays in ${dir}.`,
    );
}

async function status(options: CommonOptions): Promise<void> {
  const settings = await settingsOf(options);
  const found =
    settings.engine === 'external'
      ? await externalStatus(settings.endpoints, settings.access)
      : await stackStatus(settings.dir);
  if (found === undefined) throw notStarted(settings.dir);
  print(found, options);
  if (found.components.some(({ state }) => state !== 'running')) process.exitCode = 1;
}

async function logs(
  component: ComponentName,
  options: CommonOptions & { readonly lines: number; readonly follow?: boolean },
): Promise<void> {
  const { dir } = await settingsOf(options);
  const ended = new AbortController();
  process.once('SIGINT', () => ended.abort());
  const follow = options.follow === true;
  for await (const text of stackLogs(dir, component, {
    lines: options.lines,
    follow,
    signal: ended.signal,
  })) {
    line(text);
  }
}

async function reset(options: CommonOptions & { readonly yes?: boolean }): Promise<void> {
  const { dir } = await settingsOf(options);
  if (options.yes !== true) {
    throw new ReachflowError(`This removes all data of the stack in ${dir}.`, {
      code: 'CONFIRMATION_REQUIRED',
      domain: 'user',
      hint: 'Say so: `reachflow stack reset --yes`. To only stop it: `reachflow stack down`.',
    });
  }
  const removed = await withView((onProgress) => resetStack(dir, onProgress));
  if (options.json === true) line(JSON.stringify({ dir, removed }));
  else if (!removed) line(`There is no stack in ${dir}.`);
  else line(`Removed the data of ${dir}. The provisioned engines stay in the cache.`);
}

function notStarted(dir: string): ReachflowError {
  return new ReachflowError(`No stack was started in ${dir}.`, {
    code: 'STACK_NOT_FOUND',
    domain: 'user',
    hint: 'Start one: `reachflow stack up`.',
  });
}

function parseComponent(text: string): ComponentName {
  if (isComponentName(text)) return text;
  throw new InvalidArgumentError(`one of ${componentNames.join(', ')}`);
}

function parseLines(text: string): number {
  const lines = Number(text);
  if (Number.isInteger(lines) && lines >= 0 && lines <= 10_000) return lines;
  throw new InvalidArgumentError('a whole number from 0 to 10000');
}

function subcommand(name: string, description: string, examples: readonly string[]): Command {
  return new Command(name)
    .description(description)
    .option('--dir <directory>', "the stack's state, data and logs (default: stack.dir)")
    .option('--json', 'print JSON')
    .option('--config <file>', 'configuration file')
    .addHelpText('after', `\nExamples:\n${examples.map((text) => `  ${text}\n`).join('')}`);
}

function engineOption(): Option {
  return new Option(
    '--engine <engine>',
    'embedded: without Docker; docker: compose/docker-compose.yml; external: your own (default: stack.engine)',
  ).choices(stackEngines);
}

/** `reachflow stack`. */
export function stackCommand(): Command {
  return new Command('stack')
    .description(
      'start and stop the engines: Kafka, registry, Connect, Postgres, ClickHouse, Elasticsearch',
    )
    .addCommand(
      subcommand(
        'up',
        'start what is not running, wait until all of it answers, print where it is',
        [
          'reachflow stack up',
          'reachflow stack up --engine docker',
          'reachflow stack up --dir /tmp/another-stack --json',
        ],
      )
        .addOption(engineOption())
        .action(up),
    )
    .addCommand(
      subcommand('down', 'stop what `stack up` started; data stays', [
        'reachflow stack down',
      ]).action(down),
    )
    .addCommand(
      subcommand(
        'status',
        'what runs, where, and how much memory it takes; exit 1 when something does not',
        ['reachflow stack status', 'reachflow stack status --json'],
      )
        .addOption(engineOption())
        .action(status),
    )
    .addCommand(
      subcommand('logs', 'the log of one engine', [
        'reachflow stack logs connect',
        'reachflow stack logs kafka --lines 500 --follow',
      ])
        .addArgument(
          new Command()
            .createArgument('<component>', componentNames.join(', '))
            .argParser(parseComponent),
        )
        .option('--lines <count>', 'how many of the last lines', parseLines, 50)
        .option('--follow', 'go on until Ctrl-C')
        .action(logs),
    )
    .addCommand(
      subcommand('reset', 'stop the stack and remove its data; provisioned engines stay', [
        'reachflow stack reset --yes',
      ])
        .option('--yes', 'really')
        .action(reset),
    );
}
