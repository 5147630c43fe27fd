import { join } from 'node:path';
import type { Logger } from 'pino';
import { listen } from '../../runtime/http/listen.ts';
import type { RegistryConfig } from '../../runtime/kafka/config.ts';
import type { Connector } from '../connector.ts';
import { connectorOf } from '../lifecycle.ts';
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

/**
 * Takes files over HTTP and imports them, source by source, by their maps. Without a source it has nothing to do and
 * opens no port. Can be started again after a stop. Of several processes one runs it: they would share its directory.
 */
export function createFileConnector(config: FileConfig, deps: FileDeps): FileConnector {
  const logger = deps.logger.child({ connector: 'file' });
  let url: string | undefined;
  const connector = connectorOf('file', ['file.row.received', IMPORTS_TOPIC], async () => {
    const sources = await openSources(config);
    if (sources.length === 0)
      return { detail: () => 'no sources: it takes no uploads', close: async () => undefined };
    await prepareImports(deps);
    const { queue, uploads } = openUploads(config, sources, deps, logger);
    const app = buildUploadServer(config, uploads, logger);
    const close = async () => {
      url = undefined;
      uploads.close();
      try {
        await app.close();
      } finally {
        await queue.stop();
      }
    };
    try {
      await uploads.recover();
      const { host, port } = config;
      url = await listen(app, { host, port, section: 'file', purpose: 'uploads' });
    } catch (error) {
      await close();
      throw error;
    }
    logger.info({ url, sources: Object.keys(config.sources) }, 'taking uploads');
    return { detail: () => `listening on ${url}; ${queue.length} to import`, close };
  });
  return { ...connector, url: () => url };
}

function openUploads(
  config: FileConfig,
  sources: readonly UploadSource[],
  { client, registry }: FileDeps,
  logger: Logger,
): { queue: ImportQueue; uploads: Uploads } {
  const { directory, maxRejects } = config;
  const settings = { kafka: client.config, registry, logLevel: logger.level };
  const queue: ImportQueue = new ImportQueue({
    ...{ importer: new ImportProcess(settings), logger, directory, maxRejects },
    onSettled: (id) => uploads.release(id),
  });
  const uploads = new Uploads(sources, config, queue, logger);
  return { queue, uploads };
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
