import { stripVTControlCharacters } from 'node:util';
import { describe, expect, it } from 'vitest';
import { activeTopics } from '../../schemas/topics.ts';
import { frame } from './frame.ts';
import { plainLine } from './plain.ts';
import { Rate } from './rate.ts';
import { reportLines } from './report.ts';
import type { Snapshot } from './snapshot.ts';
import { clock, count, duration, row } from './text.ts';

const BIG = 123_456_789;

const snapshot: Snapshot = {
  phase: 'playing',
  elapsedMs: 12_345,
  durationMs: 30_000,
  seed: 4_294_967_295,
  webhooks: {
    sent: BIG,
    retries: BIG,
    unanswered: 3,
    perSecond: 119.6,
    statuses: new Map([
      [401, 12],
      [202, 1_234],
      [413, 4],
    ]),
  },
  rows: { insert: BIG, update: BIG, delete: BIG, broken: 7, perSecond: 80 },
  latency: { p50: 412, max: 1_900 },
  seen: {
    topics: new Map(activeTopics().map((name) => [name, BIG])),
    lag: new Map(Array.from({ length: 12 }, (_, i) => [`group-with-quite-a-long-name-${i}`, i])),
    stores: new Map([
      ['Postgres contacts', 321],
      ['ClickHouse tenant counts', BIG],
    ]),
    deadLetters: 42,
    trouble: 'a very long trouble\nof two lines '.repeat(9),
  },
};

const plain = (lines: readonly string[]) => lines.map((line) => stripVTControlCharacters(line));

describe('frame', () => {
  it('fits a terminal of 80 columns and 24 rows, whatever the figures', () => {
    const lines = plain(frame(snapshot));
    expect(lines.length).toBeLessThan(24);
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(80);
    expect(lines.some((line) => line.includes('\n'))).toBe(false);
  });

  it('shows time, answers by status, every topic, stores and dead letters', () => {
    const text = plain(frame(snapshot)).join('\n');
    expect(text).toContain('0:12 of 0:30');
    expect(text).toContain('202: 1,234   401: 12   413: 4   none: 3');
    for (const name of activeTopics()) expect(text).toContain(name);
    expect(text).toMatch(/Postgres contacts +321/);
    expect(text).toMatch(/DLQ topics +42/);
    expect(text).toContain('median 412 ms, slowest 1.9 s');
  });

  it('shows the groups that lag most when there are too many', () => {
    const text = plain(frame(snapshot)).join('\n');
    expect(text).toContain('group-with-quite-a-long-name-11');
    expect(text).not.toContain('group-with-quite-a-long-name-1 ');
  });

  it('says how to end a run without an end', () => {
    const [first] = plain(frame({ ...snapshot, durationMs: undefined, seed: 1 }));
    expect(first).toContain('playing 0:12, Ctrl-C ends it');
  });
});

it('plainLine says the same in one line', () => {
  const line = plainLine(snapshot);
  expect(line).not.toContain('\n');
  expect(line).toContain('(202=1234 401=12 413=4)');
  expect(line).toContain('lag 66');
});

it('Rate is the growth per second over the last seconds', () => {
  const rate = new Rate();
  expect(rate.observe(0, 0)).toBe(0);
  expect(rate.observe(100, 1_000)).toBe(100);
  let last = 0;
  for (let second = 2; second <= 20; second += 1)
    last = rate.observe(100 + second * 10, second * 1_000);
  expect(last).toBeCloseTo(10, 5);
});

describe('report', () => {
  const good = { title: 'A', ok: true, numbers: '1 = 1', samples: ['hidden'] };
  const bad = { title: 'B', ok: false, numbers: '1 missing', samples: ['x is missing'] };

  it('marks what passed and what did not, with samples', () => {
    const lines = plain(reportLines([good, bad]));
    expect(lines).toEqual([
      '✓ A: 1 = 1',
      '✗ B: 1 missing',
      '    x is missing',
      '',
      'It does not add up: 1 of 2 checks failed.',
    ]);
    expect(plain(reportLines([good])).at(-1)).toBe('It adds up: all 1 checks passed.');
  });
});

it('figures for people', () => {
  expect([count(1_234.6), clock(3_661_000), duration(999), duration(1_250)]).toEqual([
    '1,235',
    '61:01',
    '999 ms',
    '1.3 s',
  ]);
  expect(row('label that is too long', '12', 10)).toBe('label … 12');
});
