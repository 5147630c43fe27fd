import {
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type LogPosition, SegmentLog, type SegmentLogOptions } from './segment-log.ts';

const logger = pino({ level: 'silent' });
let dir: string;
const opened: SegmentLog[] = [];

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'reachflow-spool-'));
});
afterEach(async () => {
  for (const log of opened.splice(0)) await log.close();
  rmSync(dir, { recursive: true, force: true });
});

async function open(options: Partial<SegmentLogOptions> = {}): Promise<SegmentLog> {
  const log = await SegmentLog.open({
    dir,
    maxBytes: 1_000_000,
    segmentBytes: 100_000,
    logger,
    ...options,
  });
  opened.push(log);
  return log;
}

async function contents(log: SegmentLog): Promise<string[]> {
  await log.seal();
  const all: string[] = [];
  for (const segment of log.segments) {
    const { records } = await log.read(segment);
    all.push(...records.map(({ payload }) => payload.toString()));
  }
  return all;
}

function append(log: SegmentLog, ...texts: string[]): Promise<LogPosition[]> {
  return Promise.all(texts.map((text) => log.append(Buffer.from(text))));
}

function segmentFiles(): string[] {
  return readdirSync(dir).filter((file) => file.endsWith('.segment'));
}

const many = Array.from({ length: 500 }, (_, i) => `record ${i}`);

describe('SegmentLog', () => {
  it('keeps the order of appends, in segments of bounded size', async () => {
    const log = await open({ segmentBytes: 1_000 });
    for (let from = 0; from < many.length; from += 20)
      await append(log, ...many.slice(from, from + 20));
    expect(await contents(log)).toEqual(many);
    expect(log.segments.length).toBeGreaterThan(5);
    expect(log.standing).toMatchObject({ records: many.length });
  });

  it('gives what was appended to the next process, also after a crash', async () => {
    const log = await open();
    await append(log, ...many);
    const id = log.id;
    // A crash: nothing is closed; only the lock goes.
    const copy = mkdtempSync(join(tmpdir(), 'reachflow-spool-copy-'));
    for (const file of readdirSync(dir).filter((name) => name !== 'lock.sock'))
      writeFileSync(join(copy, file), readFileSync(join(dir, file)));
    const next = await open({ dir: copy });
    expect(next.id).toBe(id);
    expect(next.standing.records).toBe(many.length);
    await append(next, 'one more');
    expect(await contents(next)).toEqual([...many, 'one more']);
    await next.close();
    rmSync(copy, { recursive: true });
  });

  it('cuts a torn tail, goes on behind it, and reports no damage', async () => {
    const log = await open();
    await append(log, 'whole');
    await append(log, 'torn');
    await log.close();
    const file = join(dir, String(segmentFiles()[0]));
    truncateSync(file, readFileSync(file).length - 2);
    const next = await open();
    await append(next, 'after');
    expect(await contents(next)).toEqual(['whole', 'after']);
    expect(next.standing.damagedBytes).toBe(0);
  });

  it('sets damage in the middle aside and delivers what is around it', async () => {
    const log = await open();
    for (const text of ['first', 'second', 'third']) await append(log, text);
    await log.close();
    const [name = ''] = segmentFiles();
    const content = readFileSync(join(dir, name));
    content[content.indexOf('second')] = 0;
    writeFileSync(join(dir, name), content);
    const next = await open();
    expect(await contents(next)).toEqual(['first', 'third']);
    expect(next.standing.damagedBytes).toBeGreaterThan(0);
    const [aside = ''] = readdirSync(join(dir, 'damaged'));
    expect(readFileSync(join(dir, 'damaged', aside), 'latin1')).toContain('econd');
  });

  it('removes what is trimmed, and only that', async () => {
    const log = await open({ segmentBytes: 1 });
    await append(log, 'a', 'b', 'c');
    const [position] = await append(log, 'd', 'e');
    await append(log, 'f');
    await log.seal();
    expect(log.segments).toHaveLength(3);
    await log.trim({ segment: position?.segment ?? '', index: 1 });
    expect(log.segments).toHaveLength(2);
    expect(segmentFiles()).toHaveLength(2);
    expect(log.standing.records).toBe(2);
    await log.trim({ segment: 'ffffffffffffffff', index: 5 });
    expect(log.segments).toHaveLength(2);
    const last = log.segments[1]?.id ?? '';
    await log.trim({ segment: last, index: 1 });
    expect(log.isEmpty).toBe(true);
    expect(segmentFiles()).toEqual([]);
  });

  it('refuses what is beyond its size, and takes more once there is room', async () => {
    const log = await open({ maxBytes: 300, segmentBytes: 100 });
    const text = 'x'.repeat(80);
    await append(log, text);
    await append(log, text);
    await expect(append(log, text, text)).rejects.toMatchObject({
      code: 'SPOOL_FULL',
      retry: 'backoff',
    });
    await log.seal();
    await log.trim({ segment: log.segments.at(-1)?.id ?? '', index: 99 });
    await append(log, text);
  });

  it('is of one process: a second one is refused', async () => {
    const log = await open();
    await expect(open()).rejects.toMatchObject({ code: 'SPOOL_LOCKED' });
    await log.close();
    await open();
  });

  it('refuses while its directory is gone, and takes records again when it is back', async () => {
    const log = await open({ segmentBytes: 1 });
    await append(log, 'kept');
    await log.seal();
    rmSync(dir, { recursive: true });
    await expect(append(log, 'refused')).rejects.toMatchObject({ code: 'SPOOL_UNAVAILABLE' });
    await expect(append(log, 'refused at once')).rejects.toMatchObject({
      code: 'SPOOL_UNAVAILABLE',
    });
  });

  it('takes nothing once it is closed', async () => {
    const log = await open();
    const last = append(log, 'last');
    await log.close();
    await last;
    await expect(append(log, 'late')).rejects.toMatchObject({ code: 'SPOOL_UNAVAILABLE' });
  });
});
