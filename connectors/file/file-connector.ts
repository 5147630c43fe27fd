import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import type { FastifyInstance } from 'fastify';
import { errorCode, errorMessage, ReachflowError } from '../../runtime/errors.ts';
import type { RegistryConfig } from '../../runtime/kafka/config.ts';
import type { Connector, ConnectorStatus } from '../connector.ts';
import type { FileConfig } from './config.ts';
import { prepareImports } from './import-file.ts';
import type { ImportDeps } from './import-options.ts';
import { IMPORTS_TOPIC } from './import-state.ts';
import { readImportMap } from './map.ts';
import { ImportProcess } from './upload/import-process.ts';
import { ImportQueue, type UploadSource } from './upload/import-queue.ts';
import { buildUploadServer } from './upload/server.ts';
import { UploadStore } from './upload/upload-store.ts';
import { Uploads } from './upload/uploads.ts';

export interface FileConnector extends Connector {
  /** Base URL it listens on; undefined while it does not. */
  url(): string | undefined;
}

/** What imports need, and the registry's settings: those of uploads open a connection of their own. */
export interface FileDeps extends ImportDeps {
  readonly registry: RegistryConfig;
}

interface Running {
  readonly app: FastifyInstance | undefined;
  readonly queue: ImportQueue;
  readonly uploads: Uploads;
  readonly url: string | undefined;
}

/**
 * Takes files over HTTP and imports them, source by source, by their maps. Without a source it has nothing to do and
 * opens no port. Can be started again after a stop. Of several processes one runs it: they would share its directory.
 */
export function createFileConnector(config: FileConfig, deps: FileDeps): FileConnector {
  const logger = deps.logger.child({ connector: 'file' });
  let running: Running | undefined;
  let starting: Promise<void> | undefined;
  let stopping: Promise<void> | undefined;

  async function start(): Promise<void> {
    const sources = await openSources(config);
    if (sources.length > 0) await prepareImports(deps);
    let uploads: Uploads | undefined;
    const { directory, maxRejects } = config;
    const importer = new ImportProcess({
      ...{ kafka: deps.client.config, registry: deps.registry, logLevel: logger.level },
    });
    const queue = new ImportQueue({
      importer,
      logger,
      directory,
      maxRejects,
      onSettled: (id) => uploads?.release(id),
    });
    uploads = new Uploads(sources, config, queue, logger);
    try {
      await uploads.recover();
      const app = sources.length === 0 ? undefined : buildUploadServer(config, uploads, logger);
      const url = app === undefined ? undefined : await listen(app, config);
      if (url !== undefined)
        logger.info({ url, sources: Object.keys(config.sources) }, 'taking uploads');
      running = { app, queue, uploads, url };
    } catch (error) {
      uploads.close();
      await queue.stop();
      throw error;
    }
  }

  async function stop({ app, queue, uploads }: Running): Promise<void> {
    uploads.close();
    try {
      await app?.close();
    } finally {
      await queue.stop();
      running = undefined;
    }
  }

  return {
    name: 'file',
    topics: ['file.row.received', IMPORTS_TOPIC],
    async start() {
      await stopping;
      if (running !== undefined) return;
      starting ??= start().finally(() => {
        starting = undefined;
      });
      await starting;
    },
    async stop() {
      await starting?.catch(() => undefined);
      if (running === undefined) return;
      stopping ??= stop(running).finally(() => {
        stopping = undefined;
      });
      await stopping;
    },
    async status(): Promise<ConnectorStatus> {
      if (starting !== undefined)
        return { name: 'file', state: 'starting', detail: 'reading its maps' };
      if (running === undefined) return { name: 'file', state: 'stopped', detail: 'not listening' };
      const { url, queue } = running;
      const detail =
        url === undefined
          ? 'no sources: it takes no uploads'
          : `listening on ${url}; ${queue.length} to import`;
      return { name: 'file', state: 'running', detail };
    },
    url: () => running?.url,
  };
}

/** @throws ReachflowError `MAP_INVALID`, `MAP_UNREADABLE`. */
async function openSources(config: FileConfig): Promise<UploadSource[]> {
  const sources: UploadSource[] = [];
  for (const [name, { map }] of Object.entries(config.sources)) {
    const store = new UploadStore(join(config.directory, 'uploads', name));
    const parsed = await readImportMap(map);
    await store.create();
    sources.push({ name, store, map: parsed });
  }
  return sources;
}

async function listen(app: FastifyInstance, { host, port }: FileConfig): Promise<string> {
  try {
    await app.listen({ host, port });
  } catch (error) {
    throw new ReachflowError(`cannot take uploads on ${host}:${port}: ${errorMessage(error)}`, {
      code: 'FILE_LISTEN_FAILED',
      domain: 'user',
      hint:
        errorCode(error) === 'EADDRINUSE'
          ? 'Another process has the port: set file.port (0 takes a free one).'
          : 'Set file.host and file.port to an address of this machine.',
      cause: error,
    });
  }
  const address: AddressInfo | string | null = app.server.address();
  const taken = typeof address === 'object' && address !== null ? address.port : port;
  return `http://${host.includes(':') ? `[${host}]` : host}:${taken}`;
}
