import { ReachflowError } from '../../../runtime/errors.ts';
import type { Importer } from './import-process.ts';
import type { UploadState } from './upload-store.ts';

/** The state of an upload that was imported, and what is different of it. */
export function uploadState(id: string, change: Partial<UploadState> = {}): UploadState {
  return {
    ...{ id, source: 's', file: 'x.csv', bytes: 3, state: 'finished', uploadedAt: 0, updatedAt: 0 },
    ...{ rows: 1, rejected: 0, done: 1, importId: 'i', already: false },
    ...{ rejectsPath: null, error: null },
    ...change,
  };
}

/** An importer that gets nowhere until it is interrupted. */
export function pendingImporter(): Importer {
  let fail: ((error: Error) => void) | undefined;
  return {
    run: () =>
      new Promise((_resolve, reject) => {
        fail = reject;
      }),
    interrupt: () => fail?.(processEnded()),
    close: () => Promise.resolve(),
  };
}

/** What an import fails with whose process ended. */
export function processEnded(): ReachflowError {
  return new ReachflowError('the process ended', {
    code: 'IMPORT_PROCESS_ENDED',
    domain: 'internal',
    retry: 'backoff',
  });
}
