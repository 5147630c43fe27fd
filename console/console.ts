import { listen } from '../runtime/http/listen.ts';
import { type Service, serviceOf } from '../runtime/service.ts';
import { requireGuarded } from './access.ts';
import { ChartPolls } from './charts/polls.ts';
import { Warehouse } from './charts/warehouse.ts';
import type { ConsoleDeps } from './deps.ts';
import { EventStreams } from './http/event-stream.ts';
import { buildConsoleServer } from './http/server.ts';
import { LetterDesk } from './letters/desk.ts';
import { PipelineWatch } from './pipelines/watch.ts';

/** Name of the section of the configuration. */
export const CONSOLE = 'console';

export interface Console extends Service {
  /** Base URL it listens on; undefined when it does not. */
  url(): string | undefined;
}

/**
 * The console: a page of charts, pipelines and dead letters, with its API. It keeps nothing but the last answers of what
 * somebody looks at.
 * @returns its `start` throws ReachflowError `CONSOLE_OPEN` or `CONSOLE_LISTEN_FAILED`.
 */
export function createConsole(deps: ConsoleDeps): Console {
  const { config, client, codec, parts, readStatus } = deps;
  let url: string | undefined;
  const service = serviceOf(CONSOLE, async () => {
    requireGuarded(config);
    const warehouse = new Warehouse(deps.clickhouse, config);
    const polls = new ChartPolls(warehouse, config);
    const watch = new PipelineWatch({ client, parts, readStatus, config });
    const streams = new EventStreams(config);
    const consumers = { pipelines: parts.pipelines, sinks: parts.sinks.map(({ name }) => name) };
    const desk = new LetterDesk({ client, codec, config, consumers });
    const context = { deps, warehouse, polls, watch, desk, streams };
    const close = async () => {
      streams.close();
      polls.close();
      await Promise.all([watch.close(), warehouse.close()]);
    };
    const app = await buildConsoleServer(context);
    const { host, port } = config;
    const base = await listen(app, { host, port, section: CONSOLE, purpose: 'browsers' }).catch(
      async (error: unknown) => {
        await close();
        throw error;
      },
    );
    url = base;
    return {
      detail: () => `${streams.size} pages, ${polls.size} charts at ${base}`,
      close: async () => {
        url = undefined;
        await Promise.all([close(), app.close()]);
      },
    };
  });
  return { ...service, url: () => url };
}
