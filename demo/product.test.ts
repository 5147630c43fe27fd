import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startProductProcess } from './product.ts';

let dir = '';
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'reachflow-demo-'));
});
afterAll(async () => {
  await rm(dir, { recursive: true, force: true });
});

/** Starts a script in place of the CLI. */
async function start(name: string, script: string, env: Record<string, string> = {}) {
  const cliPath = join(dir, `${name}.mjs`);
  await writeFile(cliPath, script);
  return startProductProcess({ cliPath, env, logFile: join(dir, 'logs', `${name}.log`) });
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

const READY = `process.send({ type: 'ready', webhookUrl: 'http://127.0.0.1:' + (process.env.PORT ?? '1') });`;

describe('startProductProcess', () => {
  it('runs the CLI with `run` and its environment, until it is told to stop', async () => {
    const script = `if (process.argv[2] !== 'run') process.exit(9);
      process.on('SIGTERM', () => process.exit(0)); setInterval(() => {}, 1000); ${READY}`;
    const product = await start('good', script, { PORT: '4711' });
    expect(product.webhookUrl).toBe('http://127.0.0.1:4711');
    expect(isAlive(product.pid)).toBe(true);
    await product.stop();
    expect(isAlive(product.pid)).toBe(false);
    await product.stop();
  });

  it('says why a product could not start, with the end of its log', async () => {
    const starting = start('broken', `console.error('no broker at all'); process.exit(3);`);
    await expect(starting).rejects.toMatchObject({
      code: 'PRODUCT_ENDED',
      message: expect.stringMatching(/exit code 3[\s\S]*no broker at all/) as string,
    });
  });

  it('tells when the product ends by itself, but not when it was stopped', async () => {
    const product = await start('short', `${READY} setTimeout(() => process.exit(1), 50);`);
    await expect(product.ended).rejects.toMatchObject({ code: 'PRODUCT_ENDED' });
    const stopped = await start('stopped', `${READY} setInterval(() => {}, 1000);`);
    await stopped.stop();
    const first = await Promise.race([stopped.ended.catch(() => 'failed'), sleep(50, 'quiet')]);
    expect(first).toBe('quiet');
  });
});
