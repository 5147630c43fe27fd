import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { describe, expect, it } from 'vitest';
import {
  identify,
  isAlive,
  memoryBytes,
  type ProcessIdentity,
  parseStat,
  signalProcess,
} from './process-identity.ts';

const fields = 'S 1 77 77 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 987654 1000 50';

function self(): ProcessIdentity {
  const identity = identify(process.pid);
  if (identity === undefined) throw new Error('this process is not in /proc');
  return identity;
}

describe('parseStat', () => {
  it('counts fields from the last parenthesis, whatever the command is called', () => {
    for (const name of ['java', 'a b', 'x) S 9 (y', ')))']) {
      expect(parseStat(`77 (${name}) ${fields}`)).toEqual({
        pid: 77,
        state: 'S',
        parentPid: 1,
        startTicks: '987654',
        threads: 1,
      });
    }
  });

  it('refuses what is not a stat line', () => {
    for (const text of ['', 'x', '77 (java', '77 (java) S 1', `0 (java) ${fields}`]) {
      expect(parseStat(text)).toBeUndefined();
    }
  });
});

describe('a process identity', () => {
  it('is alive while its process runs, and only that very process', async () => {
    const child = spawn('sleep', ['60'], { stdio: 'ignore' });
    await once(child, 'spawn');
    const identity = identify(child.pid ?? 0);
    if (identity === undefined) throw new Error('the child is not in /proc');
    expect(isAlive(identity)).toBe(true);
    // A recycled pid: same number, another start; or the same ticks after a reboot.
    expect(isAlive({ ...identity, startTicks: `${identity.startTicks}1` })).toBe(false);
    expect(isAlive({ ...identity, bootId: 'another boot' })).toBe(false);
    expect(signalProcess({ ...identity, startTicks: '1' }, 'SIGKILL')).toBe(false);
    expect(isAlive(identity)).toBe(true);

    const exited = once(child, 'exit');
    expect(signalProcess(identity, 'SIGKILL')).toBe(true);
    await exited;
    expect(isAlive(identity)).toBe(false);
    expect(signalProcess(identity, 'SIGKILL')).toBe(false);
    expect(memoryBytes(identity.pid)).toBeUndefined();
  });

  it('counts a zombie as ended', async () => {
    // The shell ignores its child's end until it has slept, so the child stays a zombie meanwhile.
    const parent = spawn('sh', ['-c', 'sleep 0 & echo $!; exec sleep 60'], {
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    try {
      const [chunk] = (await once(parent.stdout, 'data')) as [Buffer];
      const pid = Number(chunk.toString());
      await expect
        .poll(() => {
          const identity = identify(pid);
          return identity === undefined || isAlive(identity);
        })
        .toBe(false);
      expect(identify(pid)).toBeDefined();
    } finally {
      parent.kill('SIGKILL');
    }
  });

  it('knows the memory of this process', () => {
    expect(isAlive(self())).toBe(true);
    expect(memoryBytes(process.pid)).toBeGreaterThan(10_000_000);
  });
});
