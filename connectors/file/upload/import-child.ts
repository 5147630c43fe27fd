/** A process that imports what it is told to, one file at a time: `ImportProcess` starts it, and is its parent. */
import { destination, type Logger } from 'pino';
import { createKafkaClient } from '../../../runtime/kafka/client.ts';
import { logConfigSchema } from '../../../runtime/observability/config.ts';
import { createLogger } from '../../../runtime/observability/logger.ts';
import { TopicCodec } from '../../../schemas/codec.ts';
import { createSchemaRegistryClient } from '../../../schemas/registry.ts';
import { importFile, prepareImports } from '../import-file.ts';
import type { ImportDeps } from '../import-options.ts';
import {
  failureOf,
  type ImportCommand,
  type ImportReport,
  type ImportSettings,
  type ImportTask,
} from './import-messages.ts';

let deps: ImportDeps | undefined;
let prepared = false;
let stopping = new AbortController();

function report(message: ImportReport): void {
  // A parent that is gone hears nothing; its end arrives as `disconnect`.
  if (process.connected) process.send?.(message, undefined, {}, () => undefined);
}

function loggerOf(level: string): Logger {
  return createLogger(logConfigSchema.parse({ level }), {
    bindings: { connector: 'file', role: 'import' },
    destination: destination({ fd: 1, sync: true }),
  });
}

function depsOf({ kafka, registry, logLevel }: ImportSettings): ImportDeps {
  const logger = loggerOf(logLevel);
  const client = createKafkaClient(kafka, logger);
  const registryClient = createSchemaRegistryClient(registry.url, registry);
  return { client, codec: new TopicCodec(registryClient, client.physical), logger };
}

async function run(task: ImportTask): Promise<void> {
  stopping = new AbortController();
  try {
    if (deps === undefined) throw new Error('no settings came before the first import');
    if (!prepared) await prepareImports(deps);
    prepared = true;
    const result = await importFile(deps, {
      ...task,
      signal: stopping.signal,
      onProgress: ({ done, ...progress }) =>
        report({
          type: 'progress',
          progress: done === undefined ? progress : { ...progress, done },
        }),
    });
    report({ type: 'done', result });
  } catch (error) {
    report({ type: 'failed', failure: failureOf(error) });
  }
}

// Ctrl-C and a service manager's stop reach the whole group: when it ends is for the parent to say.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => undefined);
process.on('disconnect', () => process.exit(0));
process.on('message', (command: ImportCommand) => {
  if (command.type === 'settings') deps = depsOf(command.settings);
  else if (command.type === 'import') void run(command.task);
  else stopping.abort();
});
