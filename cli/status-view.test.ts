import { stripVTControlCharacters } from 'node:util';
import { describe, expect, it } from 'vitest';
import type { StatusData, TaskRow } from '../runtime/observability/status-data.ts';
import { age, bar, compact, isRunning, ranges, statusView } from './status-view.ts';

const NOW = Date.UTC(2026, 0, 2);
const OWNER = { clientId: 'reachflow@9464', host: '10.0.0.7' };

function row(partition: number, more: Partial<TaskRow> = {}): TaskRow {
  return {
    partition,
    owner: OWNER,
    state: 'assigned',
    inputs: [{ topic: 'webhook.received', committed: 90, end: 100, lag: 10 }],
    lag: 10,
    ...more,
  };
}

function task(partition: number, more: Partial<NonNullable<TaskRow['task']>> = {}) {
  return {
    pipeline: 'events',
    subTopology: 'webhooks',
    partition,
    state: 'running' as const,
    inputs: [],
    restarts: 0,
    ...more,
  };
}

function data(tasks: TaskRow[], more: Partial<StatusData> = {}): StatusData {
  return {
    at: NOW,
    groups: [{ group: 'events.webhooks', state: 'Stable', tasks }],
    processes: [],
    sinks: [],
    connectors: [],
    unreachable: [],
    ...more,
  };
}

function text(...args: Parameters<typeof statusView>): string {
  return stripVTControlCharacters(statusView(...args));
}

describe('statusView', () => {
  it('has one line per owner, with sums', () => {
    const details = { stateEntries: 1_500, stateBytes: 3_000_000, watermark: NOW - 5_000 };
    const checkpoint = { at: NOW - 180_000, bytes: 1, durationMs: 1 };
    const rows = [0, 1, 2].map((p) =>
      row(p, { state: 'running', task: task(p, { ...details, checkpoint }) }),
    );
    const lines = text(data([...rows, row(3, { owner: { ...OWNER, host: '10.0.0.8' } })])).split(
      '\n',
    );
    expect(lines).toHaveLength(3);
    expect(lines[0]).toMatch(
      /^part +partitions +owner +state +lag +behind +entries +size +checkpoint +restarts$/,
    );
    expect(lines[1]).toMatch(
      /^events\.webhooks +0-2 +reachflow@9464 @ 10\.0\.0\.7 +running +30 +████████ +5 s +4500 +8\.6 MiB +3 min +0$/,
    );
    expect(lines[2], 'the same part is not named again').toMatch(
      /^ +3 +reachflow@9464 @ 10\.0\.0\.8 +assigned +10 +██▋ +– +– +– +– +–$/,
    );
  });

  it('has one line per task, with committed offsets, when asked', () => {
    const lines = text(data([row(0), row(1, { lag: 0 })]), true).split('\n');
    expect(lines).toHaveLength(3);
    expect(lines[1]).toMatch(/ 0 +webhook\.received .* 90$/);
  });

  it('shows states that differ, and how far a restore is', () => {
    const shown = text(
      data([
        row(0, { state: 'running', task: task(0) }),
        row(1, {
          state: 'restoring',
          task: task(1, { state: 'restoring', restore: { done: 45, total: 100 } }),
        }),
      ]),
    );
    expect(shown).toContain('1 running, 1 restoring 45 %');
  });

  it('says why a task stands still, and what to do', () => {
    const failure = { code: 'STEP_FAILED', message: 'step x threw', hint: 'Fix the step.' };
    const failed = row(1, { state: 'failed', task: task(1, { state: 'failed', failure }) });
    expect(text(data([failed]))).toContain(
      'events.webhooks.1: STEP_FAILED: step x threw\n  hint: Fix the step.',
    );
    const many = Array.from({ length: 14 }, (_, p) =>
      row(p, { state: 'failed', task: task(p, { state: 'failed', failure }) }),
    );
    expect(text(data(many))).toContain('and 4 more');
  });

  it('says which sink waits for its store, and since when', () => {
    const tasks = [
      row(0, { state: 'away', awaySince: NOW - 30_000 }),
      row(1, { state: 'away', awaySince: NOW - 90_000 }),
    ];
    const shown = text(data([], { groups: [{ group: 'sink.postgres', state: 'Stable', tasks }] }));
    expect(shown).toMatch(/^sink\.postgres +0-1 .* away /m);
    expect(shown).toContain('sink.postgres: its store has taken nothing for 90 s');
  });

  it('shows processes, and those that do not answer', () => {
    const shown = text(
      data([row(0)], {
        processes: [
          {
            url: 'http://10.0.0.7:9464',
            instance: 'i',
            pid: 42,
            host: 'w1',
            namespace: '',
            worker: 2,
            version: '0.1.0',
            startedAt: NOW - 7_200_000,
            phase: 'running',
          },
        ],
        unreachable: ['http://10.0.0.8:9464'],
      }),
    );
    expect(shown).toMatch(
      /http:\/\/10\.0\.0\.7:9464 +42 \(worker 2\) on w1 +running +0\.1\.0 +2 h/,
    );
    expect(shown).toContain('No answer from http://10.0.0.8:9464');
  });

  it('shows workers beside their supervisor, and those that have no process now', () => {
    const common = { namespace: '', version: '0.1.0', startedAt: NOW, host: 'w1' };
    const shown = text(
      data([row(0)], {
        processes: [
          {
            ...common,
            ...{ url: 'http://10.0.0.7:9464', instance: 's', pid: 41, phase: 'running' },
            workers: [
              { worker: 1, pid: 42, phase: 'ready', restarts: 3 },
              { worker: 2, phase: 'waiting', restarts: 1 },
            ],
          },
        ],
      }),
    );
    expect(shown).toContain('41 (supervisor) on w1');
    expect(shown).toMatch(/^worker +pid +phase +restarts +supervisor$/m);
    expect(shown).toMatch(/^1 +42 +ready +3 +41 on w1$/m);
    expect(shown).toMatch(/^2 +– +waiting +1 +41 on w1$/m);
  });

  it('says clearly when nothing runs', () => {
    const idle = data([ownerless()]);
    expect(isRunning(idle)).toBe(false);
    expect(text(idle)).toMatch(/^Nothing runs\. `reachflow run` starts it\./);
    expect(text(idle)).toContain('unassigned');
    const empty = data([]);
    expect(text(empty)).toBe(
      'Nothing runs, and nothing has: there are no topics yet. `reachflow run` starts it.',
    );
  });
});

function ownerless(): TaskRow {
  const { owner: _owner, ...rest } = row(0, { state: 'unassigned' });
  return rest;
}

describe('figures', () => {
  it.each([
    [0, 100, ''],
    [100, 100, '████████'],
    [50, 100, '████'],
    [1, 1_000_000, '▏'],
    [5, 0, ''],
  ])('bar(%i of %i) is %s', (value, most, expected) => {
    expect(bar(value, most)).toBe(expected);
  });

  it.each([
    [[], ''],
    [[3], '3'],
    [[2, 0, 1, 5, 5, 7, 8], '0-2,5,7-8'],
  ])('ranges(%o) is %s', (numbers, expected) => {
    expect(ranges(numbers)).toBe(expected);
  });

  it.each([
    [9_999, '9999'],
    [12_345, '12 K'],
    [1_234_567, '1.2 M'],
    [5e9, '5.0 G'],
  ])('compact(%i) is %s', (n, expected) => {
    expect(compact(n)).toBe(expected);
  });

  it.each([
    [-5, '0 s'],
    [45_000, '45 s'],
    [600_000, '10 min'],
    [3 * 3_600_000, '3 h'],
    [5 * 86_400_000, '5 d'],
  ])('age(%i ms) is %s', (ms, expected) => {
    expect(age(ms)).toBe(expected);
  });
});
