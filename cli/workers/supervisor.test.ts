import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { workersConfigSchema } from './config.ts';
import { type ProcessMessage, parseMessage } from './messages.ts';
import { Supervisor, type WorkerEvents } from './supervisor.ts';

const CRASHED = { code: 1, signal: null };

/** A supervisor over processes that do only what a test makes them do. */
function supervised(count: number, settings: object = {}) {
  const started: { worker: number; events: WorkerEvents; signals: string[] }[] = [];
  const asked = Promise.withResolvers<string>();
  const supervisor = new Supervisor({
    count,
    config: workersConfigSchema.parse(settings),
    logger: pino({ level: 'silent' }),
    startWorker: (worker, events) => {
      const signals: string[] = [];
      started.push({ worker, events, signals });
      return { pid: started.length, signal: (signal) => void signals.push(signal) };
    },
  });
  const outcome = supervisor.run(asked.promise).then(
    () => 'stopped',
    (error: unknown) => error,
  );
  /** The newest process of a worker. */
  const processOf = (worker: number) => {
    const found = started.findLast((each) => each.worker === worker);
    if (found === undefined) throw new Error(`worker ${worker} was not started`);
    return found;
  };
  const tell = (worker: number, message: ProcessMessage) =>
    processOf(worker).events.onMessage(message);
  return {
    started: () => started.map(({ worker }) => worker),
    processOf,
    tell,
    crash: (worker: number) => processOf(worker).events.onExit(CRASHED),
    stop: () => asked.resolve('test'),
    outcome,
  };
}

describe('the supervisor', () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  it('starts a worker again after a wait that grows from one second to thirty', async () => {
    const trial = supervised(2, { maxFailures: 20 });
    const waits: number[] = [];
    for (let failure = 0; failure < 12; failure += 1) {
      const before = trial.started().length;
      trial.crash(2);
      const from = Date.now();
      while (trial.started().length === before) await vi.advanceTimersByTimeAsync(10);
      waits.push(Date.now() - from);
    }
    expect(trial.started().slice(0, 3)).toEqual([1, 2, 2]);
    const [first = 0, second = 0] = waits;
    expect(first).toBeGreaterThanOrEqual(500);
    expect(first).toBeLessThanOrEqual(1_010);
    expect(second).toBeGreaterThanOrEqual(1_000);
    expect(Math.max(...waits)).toBeLessThanOrEqual(30_010);
    expect(Math.min(...waits.slice(-5))).toBeGreaterThanOrEqual(15_000);
    expect(new Set(waits.slice(-5)).size, 'jitter').toBeGreaterThan(1);
  });

  it('stops: SIGTERM to all at once, SIGKILL after the time for it, then it is done', async () => {
    const trial = supervised(2);
    trial.stop();
    await vi.advanceTimersByTimeAsync(9_999);
    expect(trial.processOf(1).signals).toEqual(['SIGTERM']);
    trial.processOf(1).events.onExit({ code: 0, signal: null });
    await vi.advanceTimersByTimeAsync(1);
    expect(trial.processOf(1).signals).toEqual(['SIGTERM']);
    expect(trial.processOf(2).signals).toEqual(['SIGTERM', 'SIGKILL']);
    trial.processOf(2).events.onExit({ code: null, signal: 'SIGKILL' });
    expect(await trial.outcome).toBe('stopped');
  });

  it('leaves behind what cannot be killed', async () => {
    const trial = supervised(1);
    trial.stop();
    await vi.advanceTimersByTimeAsync(15_000);
    expect(await trial.outcome).toBe('stopped');
  });

  it('starts nothing any more once it stops', async () => {
    const trial = supervised(2);
    trial.crash(1);
    trial.stop();
    await vi.advanceTimersByTimeAsync(5_000);
    expect(trial.started()).toEqual([1, 2]);
  });

  it('kills a worker that does not drain in time, and replaces it', async () => {
    const trial = supervised(1);
    trial.tell(1, { type: 'draining', reason: 'memory' });
    await vi.advanceTimersByTimeAsync(10_000);
    expect(trial.processOf(1).signals).toEqual(['SIGKILL']);
    trial.processOf(1).events.onExit({ code: null, signal: 'SIGKILL' });
    await vi.advanceTimersByTimeAsync(1_000);
    expect(trial.started()).toEqual([1, 1]);
  });

  it('ends with the error of a worker that a user has to repair', async () => {
    const trial = supervised(2);
    const failed = { code: 'WEBHOOK_LISTEN_FAILED', message: 'port taken', hint: 'another' };
    trial.tell(1, { type: 'failed', domain: 'user', ...failed });
    trial.crash(1);
    expect(trial.processOf(2).signals).toEqual(['SIGTERM']);
    trial.processOf(2).events.onExit({ code: 0, signal: null });
    expect(await trial.outcome).toMatchObject({ name: 'ReachflowError', ...failed });
  });

  it('ends with the last reason when a worker failed too often', async () => {
    const trial = supervised(1, { maxFailures: 2 });
    trial.crash(1);
    await vi.advanceTimersByTimeAsync(1_000);
    trial.tell(1, { type: 'failed', domain: 'external', code: 'X', message: 'no broker' });
    trial.crash(1);
    expect(await trial.outcome).toMatchObject({
      code: 'WORKER_FAILED',
      domain: 'external',
      message: 'worker 1 failed 2 times in a row: no broker',
    });
  });

  it('says how a worker ended that could not say why', async () => {
    const trial = supervised(1, { maxFailures: 1 });
    trial.processOf(1).events.onExit({ code: null, signal: 'SIGABRT' });
    expect(await trial.outcome).toMatchObject({
      message: 'worker 1 failed once: it ended by SIGABRT',
    });
  });
});

describe('messages between processes', () => {
  it('are passed over when they are not ours', () => {
    expect(parseMessage({ type: 'ready', webhookUrl: 'http://h' })?.type).toBe('ready');
    for (const foreign of [undefined, 'ready', { cmd: 'NODE_CLUSTER' }, { type: 'failed' }]) {
      expect(parseMessage(foreign)).toBeUndefined();
    }
  });
});
