import { Command } from 'commander';
import type { Logger } from 'pino';
import type { Connector } from '../../connectors/connector.ts';
import { createLogger } from '../../runtime/observability/logger.ts';
import { loadAppConfig } from '../config.ts';
import { type Product, partNames, startProduct } from '../product.ts';

/** How long a stop may take before the process ends anyway; what was not committed is done again at the next start. */
const STOP_TIMEOUT_MS = 10_000;

function webhookUrl(connectors: readonly Connector[]): string | undefined {
  const webhook = connectors.find(({ name }) => name === 'webhook');
  return webhook !== undefined && 'url' in webhook && typeof webhook.url === 'function'
    ? String(webhook.url())
    : undefined;
}

/** Resolves when the process is asked to end: by a signal, or by the end of the parent that started it over IPC. */
function askedToStop(): Promise<string> {
  return new Promise((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const)
      process.once(signal, () => resolve(signal));
    if (process.connected) process.once('disconnect', () => resolve('parent ended'));
  });
}

async function run(options: { only?: string[]; config?: string }): Promise<void> {
  const { config } = await loadAppConfig(
    options.config === undefined ? {} : { file: options.config },
  );
  const logger = createLogger(config.log);
  const fatal = Promise.withResolvers<never>();
  fatal.promise.catch(() => undefined);
  const ended = Promise.race([askedToStop(), fatal.promise]);
  ended.catch(() => undefined);
  const starting = startProduct(config, logger, {
    ...(options.only === undefined ? {} : { only: options.only }),
    onFatal: fatal.reject,
  });
  let failure: unknown;
  try {
    const product = await Promise.race([starting, ended]);
    if (typeof product !== 'string') announce(product, logger);
    logger.info({ reason: await ended }, 'stopping');
  } catch (error) {
    failure = error;
  }
  exitInTime(failure === undefined ? 0 : 1, logger);
  await starting.then(
    (product) => product.stop(),
    () => undefined,
  );
  logger.info('stopped');
  if (process.connected) process.disconnect();
  if (failure !== undefined) throw failure;
}

function announce({ connectors, engine }: Product, logger: Logger): void {
  const url = webhookUrl(connectors);
  logger.info({ webhookUrl: url, parts: engine.status().map(({ name }) => name) }, 'ready');
  process.send?.({ type: 'ready', webhookUrl: url });
}

function exitInTime(code: number, logger: Logger): void {
  setTimeout(() => {
    logger.warn(
      { ms: STOP_TIMEOUT_MS },
      'stop took too long, ending; what is not committed is done again',
    );
    process.exit(code);
  }, STOP_TIMEOUT_MS).unref();
}

function parseParts(list: string): string[] {
  return list.split(',').map((part) => part.trim());
}

/** `reachflow run`. */
export function runCommand(): Command {
  return new Command('run')
    .description('run connectors, pipelines and sinks in this process until Ctrl-C')
    .option(
      '--only <parts>',
      `comma-separated parts to run, of: ${partNames.join(', ')}`,
      parseParts,
    )
    .option('--config <file>', 'configuration file')
    .addHelpText(
      'after',
      '\nExamples:\n  reachflow run\n  reachflow run --only webhook\n  reachflow run --only events,contacts,clickhouse\n',
    )
    .action(async (options: { only?: string[]; config?: string }) => {
      await run(options);
      // KafkaJS keeps timers for a moment after its last disconnect; nothing is left to wait for.
      process.exit(0);
    });
}
