import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from 'pino';
import { type BackoffOptions, backoffMs, settledWithin } from '../../../runtime/backoff.ts';
import { errorMessage, ReachflowError } from '../../../runtime/errors.ts';
import type { ImportMap } from '../map.ts';
import type { Importer } from './import-process.ts';
import type { UploadState, UploadStore } from './upload-store.ts';

/** One source: where its uploads are, and what they become. */
export interface UploadSource {
  readonly name: string;
  readonly store: UploadStore;
  readonly map: ImportMap;
}

export interface ImportQueueOptions {
  readonly importer: Importer;
  readonly logger: Logger;
  readonly directory: string;
  readonly maxRejects: number;
  /** Called when an upload is done with, for good. */
  readonly onSettled: (id: string) => void;
  /** Waits between two tries of an upload. */
  readonly retry?: BackoffOptions;
}

/** How long an import under way may hold up the end, ms. */
const STOP_MS = 3_000;
const RETRY = { initialMs: 500, maxMs: 30_000 };
/** Ends of the importing process in a row, none further into the file than the one before, that an upload may cause. */
const MAX_ENDS = 5;

/**
 * Imports uploads that are whole, one after the other. What it has to do is on disk: after a restart `add` gets it
 * again, and the import goes on from what is committed.
 */
export class ImportQueue {
  readonly #options: ImportQueueOptions;
  readonly #waiting: { readonly source: UploadSource; readonly state: UploadState }[] = [];
  readonly #stopping = new AbortController();
  /** The one that is being imported, as it is now. */
  #current: UploadState | undefined;
  #running: Promise<void> | undefined;

  constructor(options: ImportQueueOptions) {
    this.#options = options;
  }

  /** Uploads that wait, the one under way included. */
  get length(): number {
    return this.#waiting.length + (this.#current === undefined ? 0 : 1);
  }

  /** State of the upload that is being imported; undefined when it is another one. */
  current(id: string): UploadState | undefined {
    return this.#current?.id === id ? this.#current : undefined;
  }

  /** @param state as it is on disk. How many there are is bounded by who accepts uploads. */
  add(source: UploadSource, state: UploadState): void {
    this.#waiting.push({ source, state });
    this.#running ??= this.#run();
  }

  /** Ends the import that is under way between two rows; one that waits for brokers that are away ends where it is. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#waiting.length = 0;
    const { importer } = this.#options;
    importer.interrupt();
    if (this.#running !== undefined) await settledWithin(STOP_MS, [this.#running]);
    await importer.close();
    await this.#running;
  }

  async #run(): Promise<void> {
    for (;;) {
      const next = this.#waiting.shift();
      if (next === undefined) break;
      await this.#settle(next.source, next.state);
    }
    this.#current = undefined;
    // In the same turn as the look at what waits: what is added from now on begins anew.
    this.#running = undefined;
  }

  /** Tries until it is done, refused for good, or stopped: engines that are away come back. */
  async #settle(source: UploadSource, queued: UploadState): Promise<void> {
    const { signal } = this.#stopping;
    const ends = new EndsInARow();
    for (let attempt = 1; !signal.aborted; attempt += 1) {
      try {
        const state = await this.#import(source, queued);
        await source.store.writeState(state);
        await source.store.removeContent(state.id);
        this.#options.onSettled(state.id);
        return;
      } catch (error) {
        if (signal.aborted) return;
        const passes =
          !(error instanceof ReachflowError) ||
          (error.retry === 'backoff' && !ends.tooMany(error, this.#current?.rows ?? 0));
        const { logger, retry = RETRY } = this.#options;
        logger.warn({ error, upload: queued.id, source: source.name, passes }, 'import failed');
        if (!passes) return this.#fail(source, queued, error);
        await delay(backoffMs(attempt, retry), undefined, { signal }).catch(() => undefined);
      }
    }
  }

  /** Its sender has the file: mended, or with another map, it is sent again. */
  async #fail(source: UploadSource, queued: UploadState, error: ReachflowError): Promise<void> {
    const { code, message, hint = null } = error;
    const state = { ...(this.#current ?? queued), state: 'failed' as const };
    try {
      await source.store.writeState({
        ...state,
        updatedAt: Date.now(),
        error: { code, message, hint },
      });
      await source.store.removeContent(queued.id);
      this.#options.onSettled(queued.id);
    } catch (failure) {
      // The next start tries it again.
      const { logger } = this.#options;
      logger.error({ error: errorMessage(failure), upload: queued.id }, 'state not kept');
    }
  }

  async #import(source: UploadSource, queued: UploadState): Promise<UploadState> {
    const { importer, directory, maxRejects } = this.#options;
    this.#current = { ...queued, state: 'importing', updatedAt: Date.now() };
    const task = {
      ...{ path: source.store.contentPath(queued.id), name: queued.file, map: source.map },
      ...{ directory, maxRejects },
    };
    const result = await importer.run(task, ({ importId, rows, rejected, done = null }) => {
      this.#current = {
        ...queued,
        state: 'importing',
        updatedAt: Date.now(),
        importId,
        rows,
        rejected,
        done,
      };
    });
    const { importId, rows, rejected, outcome, rejectsPath } = result;
    return {
      ...queued,
      state: 'finished',
      updatedAt: Date.now(),
      importId,
      rows,
      rejected,
      done: 1,
      already: outcome === 'already',
      rejectsPath: rejected > 0 ? rejectsPath : null,
    };
  }
}

/** Counts how often the importing process ends without getting further: such a file would end it for ever. */
class EndsInARow {
  #count = 0;
  #rows = -1;

  tooMany({ code }: ReachflowError, rows: number): boolean {
    if (code !== 'IMPORT_PROCESS_ENDED') return false;
    this.#count = rows > this.#rows ? 1 : this.#count + 1;
    this.#rows = Math.max(this.#rows, rows);
    return this.#count >= MAX_ENDS;
  }
}
