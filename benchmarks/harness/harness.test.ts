import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { type Contestant, ContestantProcess } from './contestant.ts';
import { figureOf, ratiosTo, spreadOf } from './report.ts';
import { usageOf } from './usage.ts';

const dir = mkdtempSync(join(tmpdir(), 'reachflow-bench-test-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

describe('report', () => {
  const sample = (contestant: string, run: number, cost: number) => ({
    ...{ contestant, run, figures: { cost } },
  });
  const samples = [sample('a', 1, 4), sample('b', 1, 9), sample('a', 2, 6), sample('b', 2, 11)];

  it('takes medians, least and most', () => {
    expect(spreadOf([3, 1, 2])).toEqual({ median: 2, min: 1, max: 3 });
    expect(figureOf(samples, 'a', 'cost')).toEqual({ median: 5, min: 4, max: 6 });
    expect(() => spreadOf([])).toThrow(RangeError);
  });

  it('compares the first with the others, above 1 when it is better', () => {
    expect(ratiosTo(samples, 'cost', 'cost', 'less')).toEqual([{ name: 'a to b: cost', value: 2 }]);
    expect(ratiosTo(samples, 'cost', 'cost', 'more')).toEqual([
      { name: 'a to b: cost', value: 0.5 },
    ]);
  });
});

/** A contestant that is a few lines of JavaScript, which see the process' standard input as `lines`. */
function scripted(script: string): Contestant {
  const source = `const lines=require('node:readline').createInterface({input:process.stdin});${script}`;
  return {
    name: 'script',
    rule: 'due',
    command: () => ({ file: process.execPath, args: ['-e', source] }),
  };
}

const context = { work: 't1', brokers: [], registryUrl: '' } as const;
const namespace = { name: 'n', eventSchemaId: 1, countSchemaId: 2 };

describe('ContestantProcess', () => {
  it('tells it what to do, and ends it', async () => {
    const echo = `lines.on('line', (line) => console.log(JSON.stringify(line === 'finish'
      ? { event: 'finished' }
      : { event: 'started', reads: [{ group: 'g', topic: line }], figures: {} })));`;
    const child = await ContestantProcess.spawn(scripted(echo), context, dir);
    const { reads } = await child.start(namespace);
    expect(reads).toEqual([{ group: 'g', topic: 'start n 1 2' }]);
    await child.finish();
    await child.end();
    expect(() => process.kill(child.pid, 0)).toThrow();
  });

  it('says what it said when it fails', async () => {
    const broken = `lines.on('line', () => { console.error('no such broker'); process.exit(3); });`;
    const child = await ContestantProcess.spawn(scripted(broken), context, dir);
    await expect(child.start(namespace)).rejects.toMatchObject({
      code: 'CONTESTANT_FAILED',
      message: expect.stringContaining('no such broker'),
    });
    await expect(child.finish()).rejects.toMatchObject({ code: 'CONTESTANT_FAILED' });
    await child.end();
  });
});

describe.runIf(process.platform === 'linux')('usageOf', () => {
  it('sees the CPU time and memory of a process and of its children', {
    timeout: 60_000,
  }, async () => {
    // Both stay until the standard input that they share ends.
    const busy = `const big = Buffer.alloc(6e7, 1);
      while (process.cpuUsage().user < 3e5);
      console.log('done', big.length);
      process.stdin.resume();`;
    const parent = `require('node:child_process').spawn(process.execPath,
      ['-e', ${JSON.stringify(busy)}], { stdio: 'inherit' });`;
    const child = spawn(process.execPath, ['-e', parent], { stdio: ['pipe', 'pipe', 'inherit'] });
    const ended = new Promise((resolve) => child.once('close', resolve));
    await new Promise((resolve) => child.stdout.once('data', resolve));
    const usage = usageOf([child.pid ?? -1]);
    child.stdin.end();
    await ended;
    expect(usage.cpuSeconds).toBeGreaterThanOrEqual(0.29);
    expect(usage.peakMiB).toBeGreaterThan(100);
  });
});
