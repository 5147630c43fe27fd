import { mkdtempSync, readdirSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterEach, describe, expect, it } from 'vitest';
import { fileConfigSchema } from '../config.ts';
import { importMapSchema } from '../map.ts';
import { pendingImporter, uploadState as state } from './fixtures.ts';
import { ImportQueue } from './import-queue.ts';
import { UploadStore } from './upload-store.ts';
import { Uploads } from './uploads.ts';

const HOUR_MS = 3_600_000;
const logger = pino({ level: 'silent' });
const id = (digit: string) => digit.repeat(32);
const closing: (() => Promise<void>)[] = [];

afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

/** Uploads over a directory; none is ever imported. */
async function open() {
  const store = new UploadStore(mkdtempSync(join(tmpdir(), 'reachflow-uploads-')));
  const directory = store.directory;
  const queue = new ImportQueue({
    ...{ importer: pendingImporter(), logger, directory, maxRejects: 1 },
    onSettled: () => undefined,
  });
  const map = importMapSchema.parse({ source: 's', tenant: 't', key: ['id'] });
  const uploads = new Uploads(
    [{ name: 's', store, map }],
    fileConfigSchema.parse({}),
    queue,
    logger,
  );
  closing.push(async () => {
    uploads.close();
    await queue.stop();
  });
  return { store, uploads };
}

/** An upload of which so much is there, as tus's store keeps it. */
function uploading(
  store: UploadStore,
  of: string,
  size: number,
  content: string,
  createdMs: number,
): void {
  const creation_date = new Date(createdMs).toISOString();
  const metadata = { filename: '../../etc/people.csv' };
  writeFileSync(join(store.directory, of), content);
  writeFileSync(
    join(store.directory, `${of}.json`),
    JSON.stringify({ id: of, size, offset: 0, metadata, creation_date }),
  );
}

describe('uploads', () => {
  it('show how far one is, under a name that is no path', async () => {
    const { store, uploads } = await open();
    uploading(store, id('a'), 10, 'abc', Date.now());
    expect(await uploads.view('s', id('a'))).toEqual({
      ...{
        id: id('a'),
        source: 's',
        file: 'people.csv',
        state: 'uploading',
        bytes: 10,
        received: 3,
      },
    });
    expect(await uploads.view('other', id('a'))).toBeUndefined();
    expect(await uploads.view('s', '../x')).toBeUndefined();
  });

  it('remove what was not finished in time, and what was done long ago', async () => {
    const { store, uploads } = await open();
    const now = Date.now();
    uploading(store, id('a'), 10, 'abc', now - 25 * HOUR_MS);
    uploading(store, id('b'), 10, 'abc', now - 23 * HOUR_MS);
    await store.writeState(state(id('c'), { updatedAt: now - 31 * 24 * HOUR_MS }));
    await store.writeState(state(id('d'), { state: 'failed', updatedAt: now - 29 * 24 * HOUR_MS }));
    await store.writeState(state(id('e'), { state: 'queued', updatedAt: 0 }));
    await uploads.sweep(now);
    expect(readdirSync(store.directory).sort()).toEqual(
      [id('b'), `${id('b')}.json`, `${id('d')}.state`, `${id('e')}.state`].sort(),
    );
  });

  it('are taken up again: one that is whole, but not noted, waits for its import', async () => {
    const { store, uploads } = await open();
    uploading(store, id('a'), 3, 'abc', Date.now());
    uploading(store, id('b'), 9, 'abc', Date.now());
    await uploads.recover();
    expect(await store.readState(id('a'))).toMatchObject({
      state: 'queued',
      file: 'people.csv',
      bytes: 3,
    });
    expect(await store.readState(id('b'))).toBeUndefined();
    expect((await uploads.list('s', 10)).map((view) => view.state).sort()).toEqual([
      'importing',
      'uploading',
    ]);
  });
});
