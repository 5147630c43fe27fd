import type { Logger } from 'pino';
import type { Connector } from '../../connectors/connector.ts';
import type { ObservabilityConfig } from '../../runtime/observability/config.ts';
import { startObservability } from '../../runtime/observability/observability.ts';
import { type Product, type ProductConfig, startProduct } from '../product.ts';
import { VERSION } from '../version.ts';

/** Where a process that takes input is reached; what it does not offer is absent. */
export interface ReachedAt {
  readonly webhookUrl?: string;
  readonly observabilityUrl?: string;
}

export interface RunProductOptions {
  readonly config: ProductConfig & { readonly observability: ObservabilityConfig };
  readonly logger: Logger;
  /** Names of the parts to run; all when absent. */
  readonly only?: readonly string[];
  /** Which worker of a supervisor this is; absent without one. */
  readonly worker?: number;
  /** Where that supervisor can be observed. */
  readonly supervisorPort?: number | undefined;
  /** Resolves, with the reason, when the process shall end. */
  readonly until: Promise<string>;
  readonly onReady: (reached: ReachedAt) => void;
  /** How long the stop may take before the process ends anyway, ms. What was not committed is done again. */
  readonly stopTimeoutMs: number;
}

/**
 * Runs connectors, pipelines and sinks in this process until `until`, also while they are still starting; then
 * drains, commits and resolves.
 * @throws ReachflowError when a part could not start or gave up; the others are stopped by then.
 */
export async function runProduct(options: RunProductOptions): Promise<void> {
  const { config, logger, only, worker, supervisorPort, until } = options;
  const fatal = Promise.withResolvers<never>();
  fatal.promise.catch(() => undefined);
  const ended = Promise.race([until, fatal.promise]);
  ended.catch(() => undefined);
  const observability = await startObservability({
    config: config.observability,
    namespace: config.kafka.namespace,
    worker,
    supervisorPort,
    version: VERSION,
    logger,
  });
  const { process: observed } = observability;
  const ending = new AbortController();
  const starting = startProduct(config, logger, {
    observability,
    ending: ending.signal,
    ...(only === undefined ? {} : { only }),
    ...(worker === undefined ? {} : { worker }),
    onFatal: (error) => {
      observed.phase = 'failed';
      fatal.reject(error);
    },
  });
  let failure: unknown;
  try {
    const product = await Promise.race([starting, ended]);
    if (typeof product !== 'string') {
      observed.phase = 'running';
      announce(product, observability.url, options);
    }
    logger.info({ reason: await ended }, 'stopping');
  } catch (error) {
    failure = error;
  }
  if (observed.phase !== 'failed') observed.phase = 'stopping';
  ending.abort();
  exitInTime(failure === undefined ? 0 : 1, options);
  await starting.then(
    (product) => product.stop(),
    () => undefined,
  );
  await observability.close();
  logger.info('stopped');
  if (failure !== undefined) throw failure;
}

function announce(
  { connectors, engine }: Product,
  observabilityUrl: string | undefined,
  { logger, onReady }: RunProductOptions,
): void {
  const webhookUrl = webhookUrlOf(connectors);
  logger.info({ webhookUrl, parts: engine.status().map(({ name }) => name) }, 'ready');
  onReady({
    ...(webhookUrl === undefined ? {} : { webhookUrl }),
    ...(observabilityUrl === undefined ? {} : { observabilityUrl }),
  });
}

function webhookUrlOf(connectors: readonly Connector[]): string | undefined {
  const webhook = connectors.find(({ name }) => name === 'webhook');
  return webhook !== undefined && 'url' in webhook && typeof webhook.url === 'function'
    ? String(webhook.url())
    : undefined;
}

function exitInTime(code: number, { logger, stopTimeoutMs }: RunProductOptions): void {
  setTimeout(() => {
    logger.warn(
      { ms: stopTimeoutMs },
      'stop took too long, ending; what is not committed is done again',
    );
    process.exit(code);
  }, stopTimeoutMs).unref();
}
