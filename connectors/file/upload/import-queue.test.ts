import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { describe, expect, it } from 'vitest';
import { importMapSchema } from '../map.ts';
import { processEnded, uploadState } from './fixtures.ts';
import type { Importer } from './import-process.ts';
import { ImportQueue } from './import-queue.ts';
import { UploadStore } from './upload-store.ts';

const UPLOAD = 'a'.repeat(32);

/** A queue over an importer whose process ends each time, so many rows into the file. */
function endingAt(rowsOf: (run: number) => number) {
  const store = new UploadStore(mkdtempSync(join(tmpdir(), 'reachflow-queue-')));
  const settled = Promise.withResolvers<string>();
  const seen = { runs: 0, closed: 0 };
  const importer: Importer = {
    async run(_task, onProgress) {
      seen.runs += 1;
      const rows = rowsOf(seen.runs);
      onProgress({ importId: 'i', rows, rejected: 0, done: undefined });
      throw processEnded();
    },
    interrupt: () => undefined,
    close: async () => {
      seen.closed += 1;
    },
  };
  const queue = new ImportQueue({
    ...{ importer, logger: pino({ level: 'silent' }), directory: store.directory, maxRejects: 1 },
    onSettled: settled.resolve,
    retry: { initialMs: 1, maxMs: 1 },
  });
  const map = importMapSchema.parse({ source: 's', tenant: 't', key: ['id'] });
  queue.add({ name: 's', store, map }, uploadState(UPLOAD, { state: 'queued' }));
  return { store, queue, seen, settled: settled.promise };
}

describe('an upload whose import ends its process', () => {
  it('is given up after five ends that got no further, and says so', async () => {
    // The first three get further each time.
    const { store, queue, seen, settled } = endingAt((run) => Math.min(run, 3) * 1_000);
    await settled;
    expect(await store.readState(UPLOAD)).toMatchObject({
      state: 'failed',
      rows: 3_000,
      error: { code: 'IMPORT_PROCESS_ENDED' },
    });
    expect(seen.runs).toBe(7);
    await queue.stop();
    expect(queue.length).toBe(0);
    expect(seen.closed).toBe(1);
  });
});
