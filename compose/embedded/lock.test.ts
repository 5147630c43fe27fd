import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { acquireLock } from './lock.ts';

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'reachflow-lock-'));
});
afterEach(() => {
  rmSync(dir, { recursive: true });
});

describe('acquireLock', () => {
  it('lets one holder in at a time', async () => {
    let holders = 0;
    let most = 0;
    const rounds = await Promise.all(
      Array.from({ length: 5 }, async () => {
        const lock = await acquireLock(dir);
        holders += 1;
        most = Math.max(most, holders);
        await new Promise((resolve) => setTimeout(resolve, 20));
        holders -= 1;
        await lock.release();
        return true;
      }),
    );
    expect(rounds).toHaveLength(5);
    expect(most).toBe(1);
  });

  it('names the holder when it gives up, and obeys its signal', async () => {
    const lock = await acquireLock(dir);
    await expect(acquireLock(dir, { timeoutMs: 150 })).rejects.toMatchObject({
      code: 'STACK_LOCKED',
      hint: expect.stringContaining(String(process.pid)),
    });
    const abort = AbortSignal.timeout(50);
    await expect(acquireLock(dir, { signal: abort })).rejects.toMatchObject({
      code: 'STACK_ABORTED',
    });
    await lock.release();
    await (await acquireLock(dir, { timeoutMs: 0 })).release();
  });

  it('is free as soon as its holder is killed', async () => {
    const program = `
      const { acquireLock } = await import(process.argv[1]);
      await acquireLock(process.argv[2]);
      console.log('held');
      setInterval(() => {}, 1000);`;
    const module = new URL('./lock.ts', import.meta.url).href;
    const holder = spawn(
      process.execPath,
      ['--input-type=module', '--eval', program, module, dir],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    );
    await once(holder.stdout, 'data');
    await expect(acquireLock(dir, { timeoutMs: 100 })).rejects.toMatchObject({
      code: 'STACK_LOCKED',
      hint: expect.stringContaining(String(holder.pid)),
    });
    const exited = once(holder, 'exit');
    holder.kill('SIGKILL');
    await exited;
    await (await acquireLock(dir, { timeoutMs: 1_000 })).release();
  });
});
