import { once } from 'node:events';
import { Command } from 'commander';
import { isOpen } from '../../console/access.ts';
import { createLogger } from '../../runtime/observability/logger.ts';
import { loadAppConfig } from '../config.ts';
import { consoleOf } from '../console.ts';
import { line, note } from '../output.ts';
import { numberIn } from './arguments.ts';

interface CommandOptions {
  readonly port?: number;
  readonly host?: string;
  readonly config?: string;
}

async function serve({ port, host, config: file }: CommandOptions): Promise<void> {
  const { config } = await loadAppConfig(file === undefined ? {} : { file });
  const given = {
    ...config.console,
    ...(port === undefined ? {} : { port }),
    ...(host === undefined ? {} : { host }),
  };
  const logger = createLogger({ ...config.log, level: 'warn' });
  const page = consoleOf({ ...config, console: given }, logger);
  await page.start();
  line(`The console is at ${page.url()}`);
  if (isOpen(given)) {
    note('No console.viewers are configured: everybody on this machine may do everything here.');
  }
  await Promise.race([once(process, 'SIGINT'), once(process, 'SIGTERM')]);
  await page.stop();
}

/** `reachflow console`. */
export function consoleCommand(): Command {
  return new Command('console')
    .description('serve a page of charts, pipelines and dead letters, live, until Ctrl-C')
    .option('--port <n>', 'port to listen on; 0 takes a free one', numberIn(0, 65_535))
    .option('--host <address>', 'address to listen on; others than loopback need console.viewers')
    .option('--config <file>', 'configuration file')
    .addHelpText(
      'after',
      '\nExamples:\n  reachflow console\n  reachflow console --port 0\n  reachflow console --host 0.0.0.0 --config reachflow.config.yaml\n',
    )
    .action(async (options: CommandOptions) => {
      await serve(options);
      // KafkaJS keeps timers for a moment after its last disconnect; nothing is left to wait for.
      process.exit(0);
    });
}
