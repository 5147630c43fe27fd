import { mkdirSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { stackLayout } from './layout.ts';
import { identify, isAlive } from './process-identity.ts';
import { spawnRecorded } from './recorded-process.ts';
import {
  type EmbeddedState,
  forgetProcess,
  readProcess,
  readReadiness,
  readState,
  runningProcess,
  writeReadiness,
  writeState,
} from './state.ts';

const state: EmbeddedState = {
  format: 1,
  engine: 'embedded',
  clusterId: 'abc',
  ports: { kafka: 20_001 },
  cacheDir: '/cache',
};

describe('the state of a stack', () => {
  let dir: string;
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'reachflow-state-'));
  });
  afterEach(() => {
    rmSync(dir, { recursive: true });
  });

  it('is what was written, and undefined before', async () => {
    const layout = stackLayout(dir);
    expect(readState(layout)).toBeUndefined();
    await writeState(layout, state);
    expect(readState(layout)).toEqual(state);
  });

  it.each(['', '{', '[]', '{"format":2,"engine":"embedded"}', '{"format":1,"engine":"other"}'])(
    'names the way out when the file holds %j',
    (text) => {
      const layout = stackLayout(dir);
      writeFileSync(layout.stateFile, text);
      expect(() => readState(layout)).toThrow(
        expect.objectContaining({
          code: 'STACK_STATE_INVALID',
          hint: expect.stringContaining('reset'),
        }),
      );
    },
  );

  it('knows a recorded process, and readiness belongs to that process only', async () => {
    const layout = stackLayout(dir);
    const log = await open(join(dir, 'log'), 'a');
    const command = { file: 'sleep', args: ['60'] };
    const child = await spawnRecorded(layout.pidFile('kafka'), command, { log });
    const identity = await runningProcess(layout, 'kafka');
    if (identity === undefined) throw new Error('not recorded');
    expect(identity).toEqual(identify(identity.pid));
    const { pid, startTicks } = identity;
    await writeReadiness(layout, 'kafka', { pid, startTicks, startedInMs: 7 });
    expect(readReadiness(layout, 'kafka', identity)?.startedInMs).toBe(7);
    expect(readReadiness(layout, 'kafka', { ...identity, startTicks: '1' })).toBeUndefined();

    process.kill(identity.pid, 'SIGKILL');
    expect(await child.ended).toBe('signal SIGKILL');
    expect(isAlive(identity)).toBe(false);
    expect(await runningProcess(layout, 'kafka')).toBeUndefined();
    expect(await readProcess(layout, 'kafka')).toEqual(identity);
    await forgetProcess(layout, 'kafka');
    expect(await readProcess(layout, 'kafka')).toBeUndefined();
    await log.close();
  });

  it('waits for a newborn to write its record, but not for one that never will', async () => {
    const layout = stackLayout(dir);
    const file = layout.pidFile('kafka');
    mkdirSync(join(dir, 'run'));
    writeFileSync(file, '');
    const reading = readProcess(layout, 'kafka');
    const stat = '4711 (sh) S 1 77 77 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 987654 1000 50';
    setTimeout(() => writeFileSync(file, `boot\n${stat}\n`), 60);
    expect(await reading).toEqual({ pid: 4711, startTicks: '987654', bootId: 'boot' });

    writeFileSync(file, '');
    utimesSync(file, new Date(0), new Date(0));
    expect(await readProcess(layout, 'kafka')).toBeUndefined();
  });
});
