import { setTimeout as delay } from 'node:timers/promises';
import { Command, InvalidArgumentError } from 'commander';
import { createLogUpdate } from 'log-update';
import { ReachflowError } from '../../runtime/errors.ts';
import { leaseCluster } from '../../runtime/kafka/cluster-lease.ts';
import type { ObservabilityConfig } from '../../runtime/observability/config.ts';
import { createLogger } from '../../runtime/observability/logger.ts';
import { localUrlOf } from '../../runtime/observability/server.ts';
import { readStatus, type StatusSource } from '../../runtime/observability/status-data.ts';
import { loadAppConfig } from '../config.ts';
import { errorText } from '../errors.ts';
import { line } from '../output.ts';
import { kafkaOf, watchedGroups } from '../product.ts';
import { statusView } from '../status-view.ts';

interface CommandOptions {
  readonly json?: boolean;
  readonly watch?: boolean;
  readonly tasks?: boolean;
  readonly worker?: readonly string[];
  readonly config?: string;
}

const REDRAW_MS = 2_000;

/** Once as it is written; with `--watch` drawn anew in the same place, or one after the other into a pipe. */
interface Screen {
  show(text: string): void;
}

function createScreen(): Screen {
  const { stdout } = process;
  // Some pseudo-terminals have no size: nothing could be redrawn there.
  if (!stdout.isTTY || !(stdout.rows > 0)) return { show: (text) => line(`${text}\n`) };
  const redraw = createLogUpdate(stdout);
  return {
    show: (text) =>
      redraw(
        text
          .split('\n')
          .slice(0, stdout.rows - 1)
          .join('\n'),
      ),
  };
}

async function rendered(source: StatusSource, { json, tasks }: CommandOptions): Promise<string> {
  const data = await readStatus(source);
  return json === true ? JSON.stringify(data) : statusView(data, tasks === true);
}

/** Until Ctrl-C. A broker that is away is shown, and asked again. */
async function watch(source: StatusSource, options: CommandOptions): Promise<never> {
  // The same connections for every look: those of one look alone would be closed behind it.
  leaseCluster(source.client);
  const screen = options.json === true ? { show: line } : createScreen();
  for (;;) {
    const began = performance.now();
    try {
      const text = await rendered(source, options);
      const at = `${new Date().toISOString().slice(0, 19).replace('T', ' ')} UTC, Ctrl-C ends`;
      screen.show(options.json === true ? text : `${text}\n\n${at}`);
    } catch (error) {
      if (!(error instanceof ReachflowError) || error.retry !== 'backoff') throw error;
      if (options.json === true) screen.show(JSON.stringify({ at: Date.now(), error: error.code }));
      else screen.show(errorText(error));
    }
    await delay(Math.max(0, REDRAW_MS - (performance.now() - began)));
  }
}

async function status(options: CommandOptions): Promise<void> {
  const { config } = await loadAppConfig(
    options.config === undefined ? {} : { file: options.config },
  );
  // What is retried is of no interest here: what fails in the end is thrown.
  const logger = createLogger({ ...config.log, level: 'silent' });
  const { client } = kafkaOf(config, logger);
  const source = {
    client,
    groups: watchedGroups(config, logger),
    workers: options.worker ?? [],
    local: localUrl(config.observability),
  };
  if (options.watch === true) await watch(source, options);
  else line(await rendered(source, options));
}

/** Where the process would answer that `reachflow run` starts here with this configuration; it may have another port. */
function localUrl({ enabled, host, port }: ObservabilityConfig): string | undefined {
  return enabled && port !== 0 ? localUrlOf(host, port) : undefined;
}

function addWorker(url: string, before: readonly string[] = []): readonly string[] {
  if (URL.canParse(url)) return [...before, url];
  throw new InvalidArgumentError('a URL, e.g. http://10.0.0.7:9464');
}

/** `reachflow status`. */
export function statusCommand(): Command {
  return new Command('status')
    .description(
      'show the tasks of pipelines and sinks: who has them, their lag, state and checkpoints; and the workers',
    )
    .option('--watch', 'draw it anew every two seconds')
    .option('--tasks', 'one line per task, with committed offsets, instead of one per owner')
    .option('--json', 'print everything as one JSON document; with --watch one a line')
    .option(
      '--worker <url>',
      'ask this process, too; for one whose address the brokers do not see (repeatable)',
      addWorker,
    )
    .option('--config <file>', 'configuration file')
    .addHelpText(
      'after',
      "\nExamples:\n  reachflow status\n  reachflow status --watch\n  reachflow status --tasks\n  reachflow status --json | jq '.groups[].tasks[] | select(.lag > 1000)'\n",
    )
    .action(async (options: CommandOptions) => {
      await status(options);
      // KafkaJS keeps timers for a moment after its last disconnect; nothing is left to wait for.
      process.exit(0);
    });
}
