import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Upload } from 'tus-js-client';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { registryConfigSchema } from '../../runtime/kafka/config.ts';
import { readTopic } from '../../runtime/kafka/reader.ts';
import { readerType } from '../../schemas/avro.ts';
import { testStack } from '../../tests/integration/stack.ts';
import { eventually, kafkaFixture, testLogger } from '../../tests/support/kafka.ts';
import { ReachflowProcess } from '../../tests/support/reachflow-process.ts';
import { describeConnectorConformance } from '../conformance.ts';
import { fileConfigSchema } from './config.ts';
import { createFileConnector, type FileConnector } from './file-connector.ts';
import { tempFile } from './fixtures.ts';
import { prepareImports } from './import-file.ts';
import { uploadState } from './upload/fixtures.ts';
import { UploadStore } from './upload/upload-store.ts';

const TOKEN = 'a-token-of-contacts-1';
const OTHER = 'a-token-of-orders-123';
const { client, codec } = kafkaFixture();
const registry = registryConfigSchema.parse({ url: testStack().registry.url });
const deps = { client, codec, registry, logger: testLogger };
const directory = mkdtempSync(join(tmpdir(), 'reachflow-uploads-'));
const map = tempFile(
  'map.yaml',
  'source: contacts\ntenant: acme\nkey: [id]\nfields: {id: {column: id, type: integer}, name: name}\n',
);
const sources = { contacts: { tokens: [TOKEN], map }, orders: { tokens: [OTHER], map } };
const configOf = (change: object = {}) =>
  fileConfigSchema.parse({ directory, port: 0, sources, ...change });

const csvOf = (rows: number) =>
  Buffer.from(
    `id,name\n${Array.from({ length: rows }, (_, i) => `${i + 1},name ${i + 1} of many`).join('\n')}\n`,
  );

interface Sent {
  readonly url: string;
  readonly error: Error | undefined;
}

/** Uploads in chunks; ends early when the server does. @param from continues an upload. */
function send(
  base: string,
  content: Buffer,
  {
    from,
    onProgress,
    token = TOKEN,
    name = 'people.csv',
  }: { from?: string; onProgress?: (sent: number) => void; token?: string; name?: string } = {},
): Promise<Sent> {
  return new Promise((resolve) => {
    const upload: Upload = new Upload(content, {
      endpoint: `${base}/uploads/contacts`,
      ...(from === undefined ? {} : { uploadUrl: from }),
      headers: { authorization: `Bearer ${token}` },
      metadata: { filename: name },
      chunkSize: 1_000_000,
      retryDelays: null,
      onProgress: (sent) => onProgress?.(sent),
      onSuccess: () => resolve({ url: upload.url ?? '', error: undefined }),
      onError: (error) => resolve({ url: upload.url ?? '', error }),
    });
    upload.start();
  });
}

const idOf = (url: string) => url.split('/').at(-1) ?? '';

async function view(base: string, id: string, token = TOKEN): Promise<Record<string, unknown>> {
  const response = await fetch(`${base}/imports/${id}`, {
    headers: { authorization: `Bearer ${token}` },
  });
  return { status: response.status, ...((await response.json()) as object) };
}

async function rowsOf(importId: unknown): Promise<Map<number, number>> {
  const counts = new Map<number, number>();
  const type = readerType('file.row.received');
  await readTopic(client, {
    topic: 'file.row.received',
    onRecord: ({ value }) => {
      const row = value === null ? undefined : type.fromBuffer(value.subarray(5));
      if (row?.import_id === importId) counts.set(row.row, (counts.get(row.row) ?? 0) + 1);
    },
  });
  return counts;
}

describeConnectorConformance('file', () => createFileConnector(configOf(), deps), 60_000);

describe('uploads', { timeout: 120_000 }, () => {
  let connector: FileConnector;
  let base: string;
  const begin = async (change: object = {}) => {
    connector = createFileConnector(configOf(change), deps);
    await connector.start();
    base = connector.url() ?? '';
  };

  beforeAll(async () => {
    await prepareImports(deps);
    await begin();
  });
  afterAll(() => connector.stop());

  async function finished(id: string): Promise<Record<string, unknown>> {
    let last: Record<string, unknown> = {};
    await eventually('it is imported', async () => {
      last = await view(base, id);
      return last['state'] === 'finished' || last['state'] === 'failed';
    });
    return last;
  }

  it('a file is imported, its rejects can be fetched, and the same content counts once', async () => {
    const content = Buffer.concat([csvOf(100), Buffer.from('x,wrong\n')]);
    const { url, error } = await send(base, content);
    expect(error).toBeUndefined();
    const state = await finished(idOf(url));
    expect(state).toMatchObject({
      state: 'finished',
      file: 'people.csv',
      rows: 101,
      rejected: 1,
      already: false,
    });
    const rejects = await fetch(`${base}${String(state['rejects'])}`, {
      headers: { authorization: `Bearer ${TOKEN}` },
    });
    expect(JSON.parse(await rejects.text())).toMatchObject({
      row: 101,
      reasons: ['id: "x" is no whole number'],
    });
    expect((await rowsOf(state['importId'])).size).toBe(100);
    const again = await finished(idOf((await send(base, content, { name: 'other.csv' })).url));
    expect(again).toMatchObject({ already: true, importId: state['importId'] });
    const list = await fetch(`${base}/imports`, { headers: { authorization: `Bearer ${TOKEN}` } });
    expect(((await list.json()) as { data: unknown[] }).data).toHaveLength(2);
  });

  it('a file that cannot be imported says why', async () => {
    const { url } = await send(base, Buffer.from('other,columns\n1,2\n'));
    expect(await finished(idOf(url))).toMatchObject({
      state: 'failed',
      error: { code: 'MAP_COLUMNS', message: 'the file has no column id, name' },
    });
  });

  it('nobody gets in without the token of the source', async () => {
    expect(
      (await send(base, csvOf(1), { token: 'wrong-token-of-nobody' })).error?.message,
    ).toContain('401');
    expect((await send(base, csvOf(1), { token: OTHER })).error?.message).toContain('401');
    const { url } = await send(base, csvOf(2));
    expect(await view(base, idOf(url), OTHER)).toMatchObject({ status: 404, code: 'NOT_FOUND' });
    expect(await view(base, idOf(url), 'x')).toMatchObject({ status: 401, code: 'UNAUTHORIZED' });
    expect(await view(base, '..%2f..%2fsecret')).toMatchObject({ status: 404 });
    await finished(idOf(url));
  });

  it('what is too large, or one too many for the disk, is refused; what is given up makes room', async () => {
    await connector.stop();
    await begin({
      maxUploadBytes: 1_000,
      maxStoredBytes: 1_500,
      directory: mkdtempSync(join(tmpdir(), 'reachflow-full-')),
    });
    const create = (length: number) =>
      fetch(`${base}/uploads/contacts`, {
        method: 'POST',
        headers: {
          authorization: `Bearer ${TOKEN}`,
          'tus-resumable': '1.0.0',
          'upload-length': String(length),
        },
      });
    expect((await create(1_001)).status).toBe(413);
    const first = await create(900);
    expect(first.status).toBe(201);
    const full = await create(900);
    expect([full.status, ((await full.json()) as { code: string }).code]).toEqual([
      507,
      'UPLOADS_FULL',
    ]);
    const url = new URL(first.headers.get('location') ?? '', base);
    const removed = await fetch(url, {
      method: 'DELETE',
      headers: { authorization: `Bearer ${TOKEN}`, 'tus-resumable': '1.0.0' },
    });
    expect(removed.status).toBe(204);
    expect((await create(900)).status).toBe(201);
    await connector.stop();
    await begin();
  });
});

/** The processes that this one has started and that import. */
function importProcesses(): number[] {
  const children = readFileSync(`/proc/self/task/${process.pid}/children`, 'utf8');
  const commandOf = (pid: string) => {
    try {
      return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
    } catch {
      return ''; // It has ended.
    }
  };
  return children
    .split(' ')
    .filter((pid) => pid !== '' && commandOf(pid).includes('import-child'))
    .map(Number);
}

/** Largest resident memory of a process so far, bytes; 0 once it has ended. */
function peakOf(pid: number): number {
  try {
    const status = readFileSync(`/proc/${pid}/status`, 'utf8');
    return Number(/^VmHWM:\s*(\d+) kB$/m.exec(status)?.[1] ?? 0) * 1_024;
  } catch {
    return 0;
  }
}

describe('a large upload', { timeout: 300_000 }, () => {
  const MIB = 1_048_576;
  const ROWS = 500_000;
  const own = mkdtempSync(join(tmpdir(), 'reachflow-large-'));
  const id = 'a'.repeat(32);
  const connector = createFileConnector(configOf({ directory: own }), deps);

  /** Whole, but not imported yet, as a process that ended has left it. */
  async function leave(content: Buffer): Promise<void> {
    const store = new UploadStore(join(own, 'uploads', 'contacts'));
    await store.create();
    writeFileSync(store.contentPath(id), content);
    await store.writeState(
      uploadState(id, {
        ...{ source: 'contacts', file: 'large.csv', bytes: content.length, state: 'queued' },
        ...{ rows: 0, done: 0, importId: null },
      }),
    );
  }

  afterAll(() => connector.stop());

  it('takes neither time nor memory of the process that took it, and ends after its own was killed', async () => {
    await prepareImports(deps);
    await leave(csvOf(ROWS));
    const loop = performance.eventLoopUtilization();
    const ownBytes = () => {
      const { heapUsed, external } = process.memoryUsage();
      return heapUsed + external;
    };
    const [before, highest] = [ownBytes(), { own: 0, child: 0 }];
    await connector.start();
    let killed: number | undefined;
    let last: Record<string, unknown> = {};
    await eventually(
      'it is imported',
      async () => {
        last = await view(connector.url() ?? '', id);
        const [child] = importProcesses();
        highest.own = Math.max(highest.own, ownBytes());
        if (child !== undefined) highest.child = Math.max(highest.child, peakOf(child));
        if (child !== undefined && killed === undefined && Number(last['rows']) > 0) {
          killed = child;
          process.kill(child, 'SIGKILL');
        }
        return last['state'] === 'finished';
      },
      200_000,
    );
    expect(last).toMatchObject({ state: 'finished', rows: ROWS, rejected: 0 });
    expect(killed, 'it was killed on the way').toBeDefined();
    expect(performance.eventLoopUtilization(loop).utilization).toBeLessThan(0.5);
    expect(highest.own - before).toBeLessThan(48 * MIB);
    expect(highest.child).toBeGreaterThan(0);
    expect(highest.child).toBeLessThan(256 * MIB);
    const counts = await rowsOf(last['importId']);
    expect(counts.size).toBe(ROWS);
    expect([...counts.values()].filter((count) => count !== 1)).toEqual([]);
  });
});

describe('a process that takes uploads and is killed', { timeout: 300_000 }, () => {
  const processes: ReachflowProcess[] = [];
  const config = tempFile('reachflow.config.json', '');

  async function start(): Promise<{ process: ReachflowProcess; base: string }> {
    const { kafka, registry } = testStack();
    writeFileSync(
      config,
      JSON.stringify({ file: { directory: join(directory, 'killed'), port: 0, sources } }),
    );
    const process = new ReachflowProcess(
      {
        REACHFLOW_KAFKA_BROKERS: kafka.brokers.join(','),
        REACHFLOW_KAFKA_NAMESPACE: client.config.namespace,
        REACHFLOW_REGISTRY_URL: registry.url,
        REACHFLOW_LOG_LEVEL: 'info',
        REACHFLOW_OBSERVABILITY_PORT: '0',
      },
      ['--only', 'file', '--config', config],
    );
    processes.push(process);
    await process.ready();
    // Its log goes through a pipe and a file: what it says may come after it is ready.
    let base = '';
    await eventually('its log says where it takes uploads', () => {
      base = /"url":"(http:[^"]+)"[^\n]*taking uploads/.exec(process.log)?.[1] ?? '';
      return base !== '';
    });
    return { process, base };
  }

  afterAll(async () => {
    for (const process of processes) await process.end('SIGKILL');
  });

  it('goes on with the upload, then with the import: each row is there once', async () => {
    const rows = 200_000;
    const content = csvOf(rows);
    const first = await start();
    let killed = false;
    const cut = await send(first.base, content, {
      onProgress: (sent) => {
        if (killed || sent < 3_000_000) return;
        killed = true;
        void first.process.end('SIGKILL');
      },
    });
    expect(cut.error).toBeDefined();
    const second = await start();
    const id = idOf(cut.url);
    const half = await view(second.base, id);
    expect(half).toMatchObject({ state: 'uploading', bytes: content.length });
    expect(half['received']).toBeGreaterThan(0);
    expect(half['received']).toBeLessThan(content.length);
    const sent = await send(second.base, content, {
      from: `${second.base}/uploads/contacts/${id}`,
    });
    expect(sent.error).toBeUndefined();
    // Somewhere in its import, or before: whichever, the next process has to end it.
    await eventually('it is imported', async () => {
      const { state, rows: done } = await view(second.base, id);
      return state === 'finished' || Number(done) > 0;
    });
    await second.process.end('SIGKILL');
    const third = await start();
    let last: Record<string, unknown> = {};
    await eventually(
      'it is imported',
      async () => {
        last = await view(third.base, id);
        return last['state'] === 'finished';
      },
      150_000,
    );
    expect(last).toMatchObject({ rows, rejected: 0 });
    const counts = await rowsOf(last['importId']);
    expect(counts.size).toBe(rows);
    expect([...counts.values()].filter((count) => count !== 1)).toEqual([]);
    expect(await third.process.end('SIGTERM')).toBe(0);
  });
});
