import { availableParallelism } from 'node:os';
import { Command, InvalidArgumentError } from 'commander';
import { destination, type Logger } from 'pino';
import { errorMessage, ReachflowError } from '../../runtime/errors.ts';
import { createLogger } from '../../runtime/observability/logger.ts';
import { type AppConfig, loadAppConfig } from '../config.ts';
import { EXIT_FAILURE } from '../errors.ts';
import { checkParts, partNames } from '../product.ts';
import {
  clusterWorkers,
  outliveSupervisor,
  signalWorkers,
  supervisorPort,
  workerNumber,
} from '../workers/cluster.ts';
import { sizeOwnHeap, untilMemoryExceeded } from '../workers/memory.ts';
import { tellParent } from '../workers/messages.ts';
import { runProduct } from '../workers/run-product.ts';
import { runSupervisor } from '../workers/run-supervisor.ts';

interface CommandOptions {
  readonly only?: readonly string[];
  readonly config?: string;
  /** 0: one per core. */
  readonly workers?: number;
}

const MAX_WORKERS = 64;

/**
 * Resolves when the process is asked to end: by a signal, or by the end of the parent that started it over IPC. A
 * second signal ends it at once; but not a worker, which may get one from its supervisor and one more, as the whole
 * process group does from a terminal, from systemd or from a container.
 */
function askedToStop(): Promise<string> {
  const isWorker = workerNumber() !== undefined;
  return new Promise((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) {
      if (isWorker) process.on(signal, () => resolve(signal));
      else process.once(signal, () => resolve(signal));
    }
    if (process.connected) process.once('disconnect', () => resolve('parent ended'));
  });
}

/** Lines of all processes go to standard output, whole lines each; those of a worker have `worker`. */
function runLogger(config: AppConfig, bindings: Readonly<Record<string, unknown>>): Logger {
  return createLogger(config.log, { bindings, destination: destination({ fd: 1, sync: true }) });
}

async function run(options: CommandOptions): Promise<void> {
  const until = askedToStop();
  const { config } = await loadAppConfig(
    options.config === undefined ? {} : { file: options.config },
  );
  const worker = workerNumber();
  if (worker !== undefined) return runWorker(worker, options, config, until);
  const asked = options.workers ?? config.workers.count;
  const count = asked === 0 ? availableParallelism() : asked;
  if (count > 1) return runWorkers(count, options, config, until);
  await runAlone(options, config, until);
}

/**
 * Without a supervisor, with the memory of a worker.
 * @throws ReachflowError `MEMORY_EXCEEDED` after it has drained, where a supervisor would start a worker again.
 */
async function runAlone(
  options: CommandOptions,
  config: AppConfig,
  asked: Promise<string>,
): Promise<void> {
  const { memoryMb, memoryCheckMs, stopTimeoutMs } = config.workers;
  const isLimited = sizeOwnHeap(memoryMb);
  const exceeded = isLimited ? untilMemoryExceeded(memoryMb, memoryCheckMs) : NEVER;
  let excess: string | undefined;
  await runProduct({
    config,
    logger: runLogger(config, {}),
    ...onlyOf(options),
    until: Promise.race([
      asked,
      exceeded.then((reason) => {
        excess = reason;
        return reason;
      }),
    ]),
    onReady: (reached) => void tellParent({ type: 'ready', ...reached }),
    stopTimeoutMs,
  });
  if (excess === undefined) return;
  throw new ReachflowError(excess, {
    code: 'MEMORY_EXCEEDED',
    domain: 'user',
    hint: 'All is committed: start it again. `--workers` does so by itself; workers.memoryMb is the limit.',
  });
}

const NEVER = new Promise<never>(() => undefined);

function onlyOf({ only }: CommandOptions): { readonly only?: readonly string[] } {
  return only === undefined ? {} : { only };
}

async function runWorkers(
  count: number,
  { only, config: file }: CommandOptions,
  config: AppConfig,
  until: Promise<string>,
): Promise<void> {
  checkParts(only);
  if (readsSecretsAgain(config, only)) process.on('SIGHUP', () => signalWorkers('SIGHUP'));
  const args = [
    'run',
    ...(only === undefined ? [] : ['--only', only.join(',')]),
    ...(file === undefined ? [] : ['--config', file]),
  ];
  await runSupervisor({
    count,
    config,
    logger: runLogger(config, { role: 'supervisor' }),
    workers: (port) => clusterWorkers(args, config.workers.memoryMb, port),
    until,
  });
}

/** Do the workers take SIGHUP as a request to read their files of secrets again? Others would end by it. */
function readsSecretsAgain({ webhook }: AppConfig, only: readonly string[] | undefined): boolean {
  if (only !== undefined && !only.includes('webhook')) return false;
  return Object.values(webhook.sources).some(({ secretsFile }) => secretsFile !== undefined);
}

/** A worker's end is for its supervisor to report: it says why over IPC and in its log, not on the terminal. */
async function runWorker(
  worker: number,
  options: CommandOptions,
  config: AppConfig,
  asked: Promise<string>,
): Promise<void> {
  outliveSupervisor();
  const logger = runLogger(config, { worker });
  const { memoryMb, memoryCheckMs, stopTimeoutMs } = config.workers;
  const exceeded = untilMemoryExceeded(memoryMb, memoryCheckMs).then((reason) => {
    void tellParent({ type: 'draining', reason });
    logger.warn({ reason }, 'memory limit exceeded, draining to be restarted');
    return reason;
  });
  try {
    await runProduct({
      config,
      logger,
      ...onlyOf(options),
      worker,
      supervisorPort: supervisorPort(),
      until: Promise.race([asked, exceeded]),
      onReady: (reached) => void tellParent({ type: 'ready', ...reached }),
      stopTimeoutMs,
    });
  } catch (error) {
    logger.fatal({ error }, 'worker failed');
    await tellParent({ type: 'failed', ...failureOf(error) });
    process.exit(EXIT_FAILURE);
  }
}

function failureOf(error: unknown) {
  if (!(error instanceof ReachflowError)) {
    return { code: 'UNEXPECTED', message: errorMessage(error), domain: 'internal' as const };
  }
  const { code, message, domain, hint } = error;
  return { code, message, domain, hint };
}

function parseParts(list: string): string[] {
  return list.split(',').map((part) => part.trim());
}

function parseWorkers(text: string): number {
  if (text === 'auto') return 0;
  const count = Number(text);
  if (Number.isInteger(count) && count >= 1 && count <= MAX_WORKERS) return count;
  throw new InvalidArgumentError(`a whole number from 1 to ${MAX_WORKERS}, or auto`);
}

/** `reachflow run`. */
export function runCommand(): Command {
  return new Command('run')
    .description('run connectors, pipelines and sinks until Ctrl-C, in this process or in several')
    .option(
      '--only <parts>',
      `comma-separated parts to run, of: ${partNames.join(', ')}`,
      parseParts,
    )
    .option(
      '--workers <n>',
      'worker processes that share the work; auto: one per core (default: workers.count)',
      parseWorkers,
    )
    .option('--config <file>', 'configuration file')
    .addHelpText(
      'after',
      '\nExamples:\n  reachflow run\n  reachflow run --workers 4\n  reachflow run --only webhook\n  reachflow run --only events,contacts,clickhouse\n',
    )
    .action(async (options: CommandOptions) => {
      await run(options);
      // KafkaJS keeps timers for a moment after its last disconnect; nothing is left to wait for.
      process.exit(0);
    });
}
