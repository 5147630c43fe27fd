import { randomInt } from 'node:crypto';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Command, InvalidArgumentError } from 'commander';
import { downStack, resetStack, upStack } from '../../compose/stack.ts';
import type { ProveKafka } from '../../prove/options.ts';
import { runProve } from '../../prove/run-prove.ts';
import { type FaultGroup, faultGroups } from '../../prove/schedule.ts';
import { createLogger } from '../../runtime/observability/logger.ts';
import { loadAppConfig } from '../config.ts';
import { EXIT_FAILURE, reportError } from '../errors.ts';
import { kafkaOf } from '../product.ts';
import { createStackView } from '../stack-view.ts';
import { amountIn, numberIn, untilInterrupted } from './arguments.ts';

interface CommandOptions {
  readonly minutes: number;
  readonly seed?: number;
  readonly workers: number;
  readonly webhooks: number;
  readonly transactions: number;
  readonly accounts: number;
  readonly dir?: string;
  readonly keepStack?: boolean;
  readonly faults?: readonly FaultGroup[];
}

const MINUTE_MS = 60_000;
/** Runs that last as long have outages and slow stores, too: they take some ten minutes once around. */
const LONG_MINUTES = 15;

function faultsOf({ faults, minutes }: CommandOptions): readonly FaultGroup[] {
  return faults ?? (minutes >= LONG_MINUTES ? faultGroups : ['kill', 'freeze']);
}

function parseFaults(list: string): FaultGroup[] {
  if (list.trim() === 'none') return [];
  return list.split(',').map((name) => {
    const group = faultGroups.find((one) => one === name.trim());
    if (group === undefined)
      throw new InvalidArgumentError(`of: ${faultGroups.join(', ')}, or none`);
    return group;
  });
}

async function openKafka(env: Readonly<Record<string, string>>): Promise<ProveKafka> {
  const { config } = await loadAppConfig({ env: { ...process.env, ...env } });
  const { client, codec } = kafkaOf(config, createLogger({ ...config.log, level: 'error' }));
  return { client, codec, close: async () => undefined };
}

async function prove(given: CommandOptions): Promise<void> {
  try {
    const { config } = await loadAppConfig();
    const cacheDir = resolve(config.stack.cacheDir);
    const interrupted = untilInterrupted();
    const isProved = await runProve(
      {
        durationMs: given.minutes * MINUTE_MS,
        seed: given.seed ?? randomInt(1_000_000),
        workers: given.workers,
        webhooks: given.webhooks,
        transactions: given.transactions,
        accounts: given.accounts,
        dir: resolve(given.dir ?? `${config.stack.dir}-prove`),
        keepStack: given.keepStack === true,
        faults: faultsOf(given),
      },
      {
        stdout: process.stdout,
        cliPath: fileURLToPath(new URL('../main.ts', import.meta.url)),
        interrupted,
        async upStack(options) {
          const view = createStackView();
          const onProgress = view.show.bind(view);
          try {
            return await upStack({ ...options, engine: 'embedded', cacheDir, onProgress });
          } finally {
            view.end();
          }
        },
        downStack,
        resetStack,
        openKafka,
      },
    );
    process.exit(isProved ? 0 : EXIT_FAILURE);
  } catch (error) {
    // At once: a run that failed may still have requests and timers under way that would hold the process.
    process.exit(reportError(error, process.env));
  }
}

/** `reachflow prove`. */
export function proveCommand(): Command {
  return new Command('prove')
    .description(
      'kill and freeze workers, broker and stores under load, then count what is missing, twice or out of order',
    )
    .option('--minutes <n>', 'how long load and faults last', amountIn(0.5, 1_440), 2)
    .option(
      '--seed <n>',
      'repeat the input and the faults of an earlier run',
      numberIn(0, 4_294_967_290),
    )
    .option('--workers <n>', 'worker processes', numberIn(1, 8), 2)
    .option('--webhooks <n>', 'webhooks per second', numberIn(1, 5_000), 100)
    .option(
      '--transactions <n>',
      "pgbench's transactions per second; each changes four rows",
      numberIn(1, 2_000),
      50,
    )
    .option('--accounts <n>', 'accounts of the ledger', numberIn(10, 1_000_000), 1_000)
    .option(
      '--dir <directory>',
      'where its own engines keep their data, which it deletes first (default: stack.dir with -prove)',
    )
    .option(
      '--faults <groups>',
      `what is done, of: ${faultGroups.join(', ')}, or none; outage and slow are minutes of stores that are down, or answer seconds late (default: kill,freeze; all from ${LONG_MINUTES} minutes on)`,
      parseFaults,
    )
    .option('--keep-stack', 'leave the engines running at the end')
    .addHelpText(
      'after',
      '\nExamples:\n  reachflow prove\n  reachflow prove --minutes 10 --workers 3\n  reachflow prove --seed 42\n  reachflow prove --faults outage,slow --minutes 10\n',
    )
    .action(prove);
}
