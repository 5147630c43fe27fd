import { randomInt } from 'node:crypto';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Command } from 'commander';
import { downStack, upStack } from '../../compose/stack.ts';
import type { DemoConsole, DemoKafka, DemoOptions } from '../../demo/options.ts';
import { runDemo } from '../../demo/run-demo.ts';
import { errorCode } from '../../runtime/errors.ts';
import { createPublisher } from '../../runtime/kafka/batching-publisher.ts';
import { KafkaStats } from '../../runtime/kafka/stats.ts';
import { createLogger } from '../../runtime/observability/logger.ts';
import { type AppConfig, loadAppConfig } from '../config.ts';
import { consoleOf } from '../console.ts';
import { accessOf, endpointsOf } from '../endpoints.ts';
import { EXIT_FAILURE, reportError } from '../errors.ts';
import { kafkaOf, watchedGroups } from '../product.ts';
import { createStackView } from '../stack-view.ts';
import { numberIn, untilInterrupted } from './arguments.ts';

interface CommandOptions {
  readonly once?: boolean;
  readonly seconds?: number;
  readonly rate: number;
  readonly seed?: number;
  readonly dir?: string;
  readonly keepStack?: boolean;
  readonly config?: string;
}

/** How long the input of `--once` lasts, s. */
const ONCE_SECONDS = 30;

async function load(file: string | undefined, env?: Readonly<Record<string, string>>) {
  const { config } = await loadAppConfig({
    ...(file === undefined ? {} : { file }),
    ...(env === undefined ? {} : { env: { ...process.env, ...env } }),
  });
  return config;
}

function demoOptions(given: CommandOptions, config: AppConfig): DemoOptions {
  const once = given.once === true;
  const { engine, dir, cacheDir } = config.stack;
  return {
    once,
    seconds: given.seconds ?? (once ? ONCE_SECONDS : undefined),
    rate: given.rate,
    seed: given.seed ?? randomInt(1_000_000),
    keepStack: given.keepStack === true,
    stack: {
      engine,
      dir: resolve(given.dir ?? dir),
      cacheDir: resolve(cacheDir),
      ...(engine === 'external'
        ? { endpoints: endpointsOf(config), access: accessOf(config) }
        : {}),
    },
  };
}

/** Its own clients, with the settings that the product gets too. */
async function openKafka(config: AppConfig): Promise<DemoKafka> {
  const logger = createLogger({ ...config.log, level: 'error' });
  const { client, codec } = kafkaOf(config, logger);
  const stats = new KafkaStats(client, watchedGroups(config, logger));
  const publisher = await createPublisher(client, codec);
  return {
    client,
    codec,
    stats,
    sendRaw: (topic, key, value) => publisher.publishRaw({ topic, key, value }),
    async close() {
      await publisher.close();
      await stats.close();
    },
  };
}

/** On its port, or a free one: an earlier demo may still have that. */
async function serveConsole(config: AppConfig): Promise<DemoConsole> {
  const logger = createLogger({ ...config.log, level: 'error' });
  let page = consoleOf(config, logger);
  try {
    await page.start();
  } catch (error) {
    if (errorCode(error) !== 'CONSOLE_LISTEN_FAILED') throw error;
    page = consoleOf({ ...config, console: { ...config.console, port: 0 } }, logger);
    await page.start();
  }
  return { url: page.url() ?? '', stop: () => page.stop() };
}

async function demo(given: CommandOptions): Promise<void> {
  try {
    process.exit((await play(given)) ? 0 : EXIT_FAILURE);
  } catch (error) {
    // At once: a run that failed may still have requests and timers under way that would hold the process.
    process.exit(reportError(error, process.env));
  }
}

/** @returns whether everything adds up. */
async function play(given: CommandOptions): Promise<boolean> {
  const options = demoOptions(given, await load(given.config));
  const interrupted = untilInterrupted();
  return runDemo(options, {
    stdout: process.stdout,
    cliPath: fileURLToPath(new URL('../main.ts', import.meta.url)),
    interrupted,
    async upStack(stackOptions) {
      const view = createStackView();
      try {
        return await upStack({ ...stackOptions, onProgress: (event) => view.show(event) });
      } finally {
        view.end();
      }
    },
    downStack: (dir) => downStack(dir),
    openKafka: async (env) => openKafka(await load(given.config, env)),
    serveConsole: async (env) => serveConsole(await load(given.config, env)),
  });
}

/** `reachflow demo`. */
export function demoCommand(): Command {
  return new Command('demo')
    .description('play real input through the whole pipeline and verify what came of it')
    .option('--once', 'end after the input; exit 0 only if everything adds up')
    .option(
      '--seconds <n>',
      `how long the input lasts (default: ${ONCE_SECONDS} with --once, otherwise until Ctrl-C)`,
      numberIn(1, 86_400),
    )
    .option('--rate <n>', 'webhooks and row changes together, per second', numberIn(1, 5_000), 200)
    .option('--seed <n>', 'play the input of an earlier run again', numberIn(0, 4_294_967_294))
    .option('--dir <directory>', "the stack's state, data and logs (default: stack.dir)")
    .option('--keep-stack', 'leave the engines running at the end')
    .option('--config <file>', 'configuration file')
    .addHelpText(
      'after',
      '\nExamples:\n  reachflow demo\n  reachflow demo --once\n  reachflow demo --once --seconds 60 --rate 500 --keep-stack\n',
    )
    .action(demo);
}
