import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import exceljs from 'exceljs';
import { parquetWriteBuffer } from 'hyparquet-writer';
import { beforeAll, describe, expect, it } from 'vitest';
import { GroupOffsets } from '../../runtime/kafka/group-offsets.ts';
import { readTopic } from '../../runtime/kafka/reader.ts';
import { readerType } from '../../schemas/avro.ts';
import { testStack } from '../../tests/integration/stack.ts';
import { decodedTopic, eventually, kafkaFixture, testLogger } from '../../tests/support/kafka.ts';
import { tempFile } from './fixtures.ts';
import { importIdOf, stampOf } from './identity.ts';
import { importFile, prepareImports } from './import-file.ts';
import type { ImportOptions } from './import-options.ts';
import { IMPORTS_TOPIC } from './import-state.ts';
import { importMapSchema } from './map.ts';

const TOPIC = 'file.row.received';
const ROWS = 500;
const { client, codec } = kafkaFixture();
const deps = { client, codec, logger: testLogger };
const directory = mkdtempSync(join(tmpdir(), 'reachflow-imports-'));
const mapText = (source: string) =>
  `source: ${source}\ntenant: acme\nkey: [id]\neventType: contact\noccurredAt: {column: at}\nfields: {id: {column: id, type: integer}, name: name}\n`;
const mapOf = (source: string, change: object = {}) =>
  importMapSchema.parse({
    source,
    tenant: 'acme',
    key: ['id'],
    eventType: 'contact',
    occurredAt: { column: 'at' },
    fields: { id: { column: 'id', type: 'integer' }, name: 'name' },
    ...change,
  });

const run = (path: string, source: string, change: Partial<ImportOptions> = {}) =>
  importFile(deps, { path, map: mapOf(source), directory, maxRejects: 100, ...change });

const AT = '2026-05-06T07:08:09.000Z';
const rows = Array.from({ length: ROWS }, (_, i) => ({ id: i + 1, name: `n,${i + 1} é`, at: AT }));
const csv = `id,name,at\n${rows.map(({ id, name, at }) => `${id},"${name}",${at}`).join('\n')}\n`;

async function workbook(): Promise<string> {
  const book = new exceljs.Workbook();
  const sheet = book.addWorksheet('S');
  sheet.addRow(['id', 'name', 'at']);
  for (const { id, name, at } of rows) sheet.addRow([id, name, new Date(at)]);
  const path = join(mkdtempSync(join(tmpdir(), 'reachflow-file-')), 'x.xlsx');
  await book.xlsx.writeFile(path);
  return path;
}

const parquet = () =>
  tempFile(
    'x.parquet',
    new Uint8Array(
      parquetWriteBuffer({
        columnData: [
          { name: 'id', data: rows.map(({ id }) => id), type: 'INT32' },
          { name: 'name', data: rows.map(({ name }) => name), type: 'STRING' },
          { name: 'at', data: rows.map(({ at }) => new Date(at)), type: 'TIMESTAMP' },
        ],
      }),
    ),
  );

beforeAll(() => prepareImports(deps));

describe('files on a real broker', { timeout: 120_000 }, () => {
  it.each([
    ['csv', () => tempFile('x.csv', csv)],
    ['csv-gzip', () => tempFile('x.csv.gz', gzipSync(csv))],
    ['json', () => tempFile('x.json', JSON.stringify(rows))],
    ['ndjson', () => tempFile('x.ndjson', rows.map((row) => JSON.stringify(row)).join('\n'))],
    ['xlsx', workbook],
    ['parquet', parquet],
  ])('each row of %s is one record', async (source, make) => {
    const path = await make();
    const result = await run(path, source);
    expect(result).toMatchObject({ outcome: 'finished', rows: ROWS, rejected: 0, resumedAt: 0 });
    const records: { key: string; value: Buffer }[] = [];
    await readTopic(client, {
      topic: TOPIC,
      onRecord: ({ key, value }) => void (value && records.push({ key: String(key), value })),
    });
    await codec.load(
      TOPIC,
      records.map(({ value }) => value),
    );
    const own = records
      .map(({ key, value }) => ({ key, value: codec.decode(TOPIC, value) }))
      .filter(({ value }) => value.import_id === result.importId)
      .sort((a, b) => a.value.row - b.value.row);
    expect(
      own.map(({ key, value: { payload, ...value } }) => ({
        key,
        ...value,
        payload: JSON.parse(payload),
      })),
    ).toEqual(
      rows.map(({ id, name }) => ({
        key: `acme:${id}`,
        import_id: result.importId,
        source: `file:${source}`,
        file: path.split('/').at(-1),
        event_type: 'contact',
        received_at: expect.any(Number),
        tenant_id: 'acme',
        row: id,
        entity_id: String(id),
        occurred_at: Date.parse(AT),
        payload: { id, name },
      })),
    );
  });

  it('writes values as the codec would, whatever the lengths', async () => {
    const path = tempFile('y.csv', `id,name,at\n${'k'.repeat(300)},${'é'.repeat(40_000)},\n`);
    const map = mapOf('long', { occurredAt: undefined, fields: { name: 'name' } });
    const { importId } = await run(path, 'long', { map });
    const found = (await decodedTopic(client, codec, TOPIC)).filter(
      (value) => value.import_id === importId,
    );
    expect(found).toEqual([
      expect.objectContaining({ entity_id: 'k'.repeat(300), occurred_at: null }),
    ]);
    expect(readerType(TOPIC).isValid(found[0])).toBe(true);
  });

  it('fills webhook.received with rows as events, too', async () => {
    const map = mapOf('events', { topic: 'webhook.received' });
    const { importId } = await run(tempFile('x.csv', csv), 'events', { map });
    const events = await decodedTopic(client, codec, 'webhook.received');
    expect(new Set(events.map((event) => event.event_id)).size).toBe(ROWS);
    expect(events.find((event) => event.entity_id === '7')).toMatchObject({
      event_id: `file:events:${importId}:7`,
      source: 'file:events',
      event_type: 'contact',
      tenant_id: 'acme',
    });
  });

  it('imports a finished file no second time, by whatever name, unless it is told to', async () => {
    const first = await run(tempFile('a.csv', csv), 'twice');
    const second = await run(tempFile('b.csv', csv), 'twice');
    expect(second).toEqual({ ...first, outcome: 'already', resumedAt: ROWS });
    const again = await run(tempFile('a.csv', csv), 'twice', { again: true });
    expect(again).toMatchObject({
      importId: `${first.importId}-2`,
      outcome: 'finished',
      rows: ROWS,
    });
    const imports = await decodedTopic(client, codec, IMPORTS_TOPIC);
    expect(
      imports.filter((one) => one.import_id.startsWith(first.importId)).map(({ state }) => state),
    ).toEqual(['finished', 'finished']);
  });

  it('stops at too many rejects with their reasons in the file, and goes on from there with more', async () => {
    const lines = Array.from({ length: 200 }, (_, i) =>
      i % 4 === 3 ? `x${i},n,${AT}` : `${i},n,${AT}`,
    );
    const path = tempFile('z.csv', `id,name,at\n${lines.join('\n')}\n`);
    await expect(run(path, 'rejects', { maxRejects: 10 })).rejects.toMatchObject({
      code: 'TOO_MANY_REJECTS',
    });
    const result = await run(path, 'rejects');
    expect(result).toMatchObject({ rows: 200, rejected: 50 });
    const rejects = readFileSync(result.rejectsPath, 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(rejects.map(({ row }) => row)).toEqual(Array.from({ length: 50 }, (_, i) => 4 * i + 4));
    expect(rejects[0]).toEqual({
      row: 4,
      line: 5,
      reasons: ['id: "x3" is no whole number'],
      raw: `x3,n,${AT}`,
    });
  });
});

describe('an import that is killed', { timeout: 180_000 }, () => {
  const many = 250_000;

  function start(path: string, map: string): ChildProcess {
    const { kafka, registry } = testStack();
    return spawn(
      process.execPath,
      [
        new URL('../../bin/reachflow.js', import.meta.url).pathname,
        'import',
        path,
        '--map',
        map,
        '--json',
      ],
      {
        env: {
          PATH: process.env['PATH'],
          HOME: process.env['HOME'],
          REACHFLOW_KAFKA_BROKERS: kafka.brokers.join(','),
          REACHFLOW_KAFKA_NAMESPACE: client.config.namespace,
          REACHFLOW_REGISTRY_URL: registry.url,
          REACHFLOW_FILE_DIRECTORY: directory,
        },
        stdio: ['ignore', 'pipe', 'inherit'],
      },
    );
  }

  /** Kills imports of the file as soon as they have got on, twice. @returns how far the second one came. */
  async function killTwice(path: string, map: string, id: string): Promise<number> {
    const offsets = new GroupOffsets(client, `import.${id}`);
    const position = async () =>
      Number((await offsets.read([{ topic: IMPORTS_TOPIC, partition: 0 }]))[0]?.offset ?? 0n);
    let committed = 0;
    for (let kill = 0; kill < 2; kill += 1) {
      const child = start(path, map);
      const exited = once(child, 'exit');
      const before = committed;
      await eventually(
        'it gets on',
        async () => child.exitCode !== null || (await position()) > before,
      );
      child.kill('SIGKILL');
      await exited;
      committed = await position();
    }
    offsets.close();
    return committed;
  }

  it('has each row and each reject exactly once in the end', async () => {
    const lines = Array.from({ length: many }, (_, i) =>
      i % 1_000 === 999 ? `x,bad,${AT}` : `${i + 1},"name, ${i + 1}",${AT}`,
    );
    const path = tempFile('many.csv', `id,name,at\n${lines.join('\n')}\n`);
    const stamp = await stampOf(path);
    let id = '';
    let map = '';
    let committed = many;
    // On a machine that looks away for long, an import may be done before it is killed: then with another one.
    for (let attempt = 1; attempt <= 5 && committed >= many; attempt += 1) {
      map = tempFile('map.yaml', mapText(`killed-${attempt}`));
      id = importIdOf(stamp, mapOf(`killed-${attempt}`), 1);
      committed = await killTwice(path, map, id);
    }
    expect(committed).toBeGreaterThan(0);
    expect(committed).toBeLessThan(many);
    const last = start(path, map);
    let text = '';
    last.stdout?.on('data', (chunk: Buffer) => {
      text += String(chunk);
    });
    await once(last, 'close');
    const result = JSON.parse(text);
    expect(result).toMatchObject({
      importId: id,
      outcome: 'finished',
      rows: many,
      rejected: many / 1_000,
    });
    expect(result.resumedAt).toBeGreaterThanOrEqual(committed);
    await checkRows(id);
    const rejects = readFileSync(join(directory, id, 'rejects.ndjson'), 'utf8')
      .trim()
      .split('\n');
    expect(rejects.map((line) => JSON.parse(line).row)).toEqual(
      Array.from({ length: many / 1_000 }, (_, i) => 1_000 * (i + 1)),
    );
  });

  async function checkRows(id: string): Promise<void> {
    const seen = new Uint8Array(many + 1);
    const type = readerType(TOPIC);
    await readTopic(client, {
      topic: TOPIC,
      onRecord: ({ value }) => {
        const row = value === null ? undefined : type.fromBuffer(value.subarray(5));
        if (row?.import_id === id) seen[row.row] = (seen[row.row] ?? 0) + 1;
      },
    });
    const wrong = [...seen.keys()].filter(
      (row) => row > 0 && seen[row] !== (row % 1_000 === 0 ? 0 : 1),
    );
    expect(wrong).toEqual([]);
  }
});
