import { FileStore } from '@tus/file-store';
import { Server } from '@tus/server';
import type { Logger } from 'pino';
import { ProblemError } from '../../../runtime/http/problem.ts';
import type { FileConfig } from '../config.ts';
import type { ImportQueue, UploadSource } from './import-queue.ts';
import { tusRefusal } from './problem.ts';
import { UPLOAD_ID, type UploadState } from './upload-store.ts';

const HOUR_MS = 3_600_000;
const DAY_MS = 86_400_000;
const SWEEP_MS = 600_000;
const MAX_NAME = 255;

type Limits = Pick<
  FileConfig,
  'maxUploadBytes' | 'maxStoredBytes' | 'maxUploads' | 'expiryHours' | 'keepDays'
>;

/** What is known of an upload, whole or not. */
export type UploadView = UploadState | UploadingView;

interface UploadingView {
  readonly id: string;
  readonly source: string;
  readonly file: string;
  readonly state: 'uploading';
  readonly bytes: number;
  readonly received: number;
}

/**
 * Takes uploads by tus 1.0 (creation, creation-with-upload, termination, expiration), each source in a directory of its
 * own, within the limits of disk and number; hands each one that is whole to the queue. Everything survives a restart.
 */
export class Uploads {
  readonly #limits: Limits;
  readonly #queue: ImportQueue;
  readonly #logger: Logger;
  readonly #sources: ReadonlyMap<string, UploadSource>;
  readonly #servers: ReadonlyMap<string, Server>;
  /** Bytes that are set aside for each upload whose content is there. */
  readonly #reserved = new Map<string, number>();
  readonly #sweeping: NodeJS.Timeout;

  constructor(
    sources: readonly UploadSource[],
    limits: Limits,
    queue: ImportQueue,
    logger: Logger,
  ) {
    this.#limits = limits;
    this.#queue = queue;
    this.#logger = logger;
    this.#sources = new Map(sources.map((source) => [source.name, source]));
    this.#servers = new Map(sources.map((source) => [source.name, this.#createServer(source)]));
    this.#sweeping = setInterval(() => {
      this.sweep().catch((error: unknown) => logger.warn({ error }, 'uploads not swept'));
    }, SWEEP_MS);
    this.#sweeping.unref();
  }

  /** The protocol's server of a source. */
  server(source: string): Server | undefined {
    return this.#servers.get(source);
  }

  /** Takes up what an earlier process left: uploads under way keep their room, whole ones are imported. */
  async recover(): Promise<void> {
    for (const source of this.#sources.values()) {
      for (const id of await source.store.ids()) {
        const state = await source.store.readState(id);
        if (state === undefined) await this.#recoverUpload(source, id);
        else if (state.state === 'queued') {
          this.#reserved.set(id, state.bytes);
          this.#queue.add(source, state);
        }
      }
    }
  }

  async #recoverUpload(source: UploadSource, id: string): Promise<void> {
    const view = await this.#uploading(source, id);
    if (view === undefined) return;
    this.#reserved.set(id, view.bytes);
    // The process ended, or the disk was full, between the last byte and the note of it.
    if (view.received === view.bytes) await this.#finish(source, id, view.file, view.bytes);
  }

  /** Room on disk is given back. */
  release(id: string): void {
    this.#reserved.delete(id);
  }

  close(): void {
    clearInterval(this.#sweeping);
  }

  /** State of an upload of a source; undefined when it has none of that id. */
  async view(sourceName: string, id: string): Promise<UploadView | undefined> {
    const source = this.#sources.get(sourceName);
    if (source === undefined || !UPLOAD_ID.test(id)) return undefined;
    const kept = await source.store.readState(id);
    if (kept === undefined) return this.#uploading(source, id);
    return kept.state === 'queued' ? (this.#queue.current(id) ?? kept) : kept;
  }

  /** Newest first, at most `limit`. */
  async list(sourceName: string, limit: number): Promise<UploadView[]> {
    const ids = (await this.#sources.get(sourceName)?.store.ids()) ?? [];
    const views: UploadView[] = [];
    for (const id of ids) {
      const view = await this.view(sourceName, id);
      if (view !== undefined) views.push(view);
    }
    const time = (view: UploadView) =>
      'uploadedAt' in view ? view.uploadedAt : Number.MAX_SAFE_INTEGER;
    return views.sort((a, b) => time(b) - time(a)).slice(0, limit);
  }

  /** Removes uploads that were not finished in time, and what is known of those that were long ago. */
  async sweep(now = Date.now()): Promise<void> {
    const there = new Set<string>();
    const before = new Set(this.#reserved.keys());
    for (const source of this.#sources.values()) {
      for (const id of await source.store.ids()) {
        there.add(id);
        const state = await source.store.readState(id);
        if (state?.state === 'queued') continue;
        const age = now - (state?.updatedAt ?? (await this.#createdAt(source.store.directory, id)));
        const { expiryHours, keepDays } = this.#limits;
        if (age > (state === undefined ? expiryHours * HOUR_MS : keepDays * DAY_MS)) {
          await source.store.remove(id);
          this.#reserved.delete(id);
          this.#logger.info({ upload: id }, 'upload removed: its time is over');
        }
      }
    }
    // Of what was never made, or was removed by hand; not of what was begun meanwhile.
    for (const id of before) if (!there.has(id)) this.#reserved.delete(id);
  }

  #createServer(source: UploadSource): Server {
    const datastore = this.#datastore(source);
    const server = new Server({
      path: `/uploads/${source.name}`,
      datastore,
      maxSize: this.#limits.maxUploadBytes,
      relativeLocation: true,
      allowedOrigins: [],
      disableTerminationForFinishedUploads: true,
      onUploadCreate: async (_request, upload) => {
        const refusal = this.#refusal(upload.size ?? this.#limits.maxUploadBytes);
        if (refusal !== undefined) throw tusRefusal(refusal);
        this.#reserved.set(upload.id, upload.size ?? this.#limits.maxUploadBytes);
        return {};
      },
      onUploadFinish: async (_request, upload) => {
        const file = fileName(upload.metadata?.['filename']);
        await this.#finish(source, upload.id, file, upload.size ?? upload.offset);
        return { headers: { 'Import-Location': `/imports/${upload.id}` } };
      },
    });
    server.on('POST_TERMINATE', (_request, _response, id) => this.#reserved.delete(id));
    return server;
  }

  #datastore({ store }: UploadSource): FileStore {
    return new FileStore({
      directory: store.directory,
      expirationPeriodInMilliseconds: this.#limits.expiryHours * HOUR_MS,
    });
  }

  #refusal(bytes: number): ProblemError | undefined {
    const { maxUploads, maxStoredBytes } = this.#limits;
    if (this.#reserved.size >= maxUploads) {
      const detail = `${maxUploads} uploads are under way or wait to be imported`;
      const hint = 'Send it once some of them are imported, or raise file.maxUploads.';
      const code = 'UPLOADS_TOO_MANY';
      return new ProblemError(detail, { status: 503, code, hint, retryAfterSeconds: 60 });
    }
    let stored = bytes;
    for (const reserved of this.#reserved.values()) stored += reserved;
    if (stored <= maxStoredBytes) return undefined;
    const detail = `uploads may take ${maxStoredBytes} bytes of disk, and those that are there leave too little`;
    const hint = 'Send it once some of them are imported, or raise file.maxStoredBytes.';
    return new ProblemError(detail, { status: 507, code: 'UPLOADS_FULL', hint });
  }

  /** The answer to the last byte comes after this: then nobody sends it again. */
  async #finish(source: UploadSource, id: string, file: string, bytes: number): Promise<void> {
    const now = Date.now();
    const state: UploadState = {
      ...{ id, source: source.name, file, bytes, state: 'queued', uploadedAt: now, updatedAt: now },
      ...{
        rows: 0,
        rejected: 0,
        done: 0,
        importId: null,
        already: false,
        rejectsPath: null,
        error: null,
      },
    };
    await source.store.syncContent(id);
    await source.store.writeState(state);
    this.#reserved.set(id, bytes);
    this.#queue.add(source, state);
  }

  async #uploading(source: UploadSource, id: string): Promise<UploadingView | undefined> {
    try {
      const upload = await this.#datastore(source).getUpload(id);
      const { size = this.#limits.maxUploadBytes, offset, metadata } = upload;
      const file = fileName(metadata?.['filename']);
      return { id, source: source.name, file, state: 'uploading', bytes: size, received: offset };
    } catch {
      // The store knows none, or no longer.
      return undefined;
    }
  }

  async #createdAt(directory: string, id: string): Promise<number> {
    const upload = await new FileStore({ directory }).getUpload(id).catch(() => undefined);
    return upload?.creation_date === undefined ? 0 : Date.parse(upload.creation_date);
  }
}

/** The last part of what the sender calls the file: a name for people and the format, never a path. */
function fileName(given: string | null | undefined): string {
  const last = (given ?? '').split(/[/\\]/).at(-1) ?? '';
  const plain = last.replaceAll(/\p{C}/gu, '').slice(0, MAX_NAME);
  return plain === '' || plain === '.' || plain === '..' ? 'upload' : plain;
}
