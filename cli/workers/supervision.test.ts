import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  beginSupervision,
  decide,
  isAlive,
  type Supervision,
  type SupervisionAction,
  type SupervisionEvent,
  type WorkerExit,
  type WorkerFailure,
} from './supervision.ts';

const limits = { healthyMs: 60_000, maxFailures: 3 };
const KILLED: WorkerExit = { code: null, signal: 'SIGKILL' };
const FAILED: WorkerExit = { code: 1, signal: null };

/** The machine, fed with events one by one. */
class Machine {
  state: Supervision;
  actions: readonly SupervisionAction[];

  constructor(count: number) {
    ({ state: this.state, actions: this.actions } = beginSupervision(count));
  }

  /** @returns what the last of the events brought about. */
  on(...events: SupervisionEvent[]): readonly SupervisionAction[] {
    for (const event of events) {
      ({ state: this.state, actions: this.actions } = decide(this.state, event, limits));
    }
    return this.actions;
  }

  phases(): string[] {
    return this.state.workers.map(({ phase }) => phase);
  }
}

const ready = (worker: number, at = 0): SupervisionEvent => ({ kind: 'ready', worker, at });
const exited = (worker: number, at = 0, exit = KILLED): SupervisionEvent => {
  return { kind: 'exited', worker, at, exit };
};
const again = (worker: number): SupervisionEvent => ({ kind: 'backoffElapsed', worker });
const failed = (worker: number, domain: WorkerFailure['domain']): SupervisionEvent => {
  return { kind: 'failed', worker, failure: { code: 'X', message: 'why', domain } };
};
const stop: SupervisionEvent = { kind: 'stopRequested' };

describe('supervision', () => {
  it('starts all workers, and announces it once when all are ready', () => {
    const machine = new Machine(2);
    expect(machine.actions).toEqual([
      { kind: 'start', worker: 1 },
      { kind: 'start', worker: 2 },
    ]);
    expect(machine.on(ready(2))).toEqual([]);
    expect(machine.on(ready(1))).toEqual([{ kind: 'announceReady' }]);
    machine.on(exited(1), again(1));
    expect(machine.on(ready(1))).toEqual([]);
  });

  it('replaces a worker that was killed, after a back-off, and disturbs no other', () => {
    const machine = new Machine(3);
    machine.on(ready(1), ready(2), ready(3));
    expect(machine.on(exited(2))).toEqual([{ kind: 'startLater', worker: 2, attempt: 1 }]);
    expect(machine.phases()).toEqual(['ready', 'waiting', 'ready']);
    expect(machine.on(again(2))).toEqual([{ kind: 'start', worker: 2 }]);
  });

  it('waits longer with each failure in a row, also of a worker that was ready in between', () => {
    const machine = new Machine(1);
    machine.on(ready(1), exited(1), again(1), ready(1, 100));
    expect(machine.on(exited(1, 59_000))).toEqual([{ kind: 'startLater', worker: 1, attempt: 2 }]);
  });

  it('forgets failures after a minute of health', () => {
    const machine = new Machine(1);
    machine.on(ready(1), exited(1), again(1), ready(1, 100));
    expect(machine.on(exited(1, 60_100))).toEqual([{ kind: 'startLater', worker: 1, attempt: 1 }]);
  });

  it('gives up after too many failures in a row of one worker: the others drain', () => {
    const machine = new Machine(2);
    machine.on(ready(1), ready(2), exited(1), again(1), exited(1), again(1), failed(1, 'external'));
    expect(machine.on(exited(1, 0, FAILED))).toEqual([
      { kind: 'signal', worker: 2, signal: 'SIGTERM' },
      { kind: 'timeStop' },
    ]);
    expect(machine.on(exited(2))).toEqual([{ kind: 'end' }]);
    expect(machine.state.failure).toEqual({
      worker: 1,
      failures: 3,
      exit: FAILED,
      cause: { code: 'X', message: 'why', domain: 'external' },
    });
  });

  it('counts the failures of each worker by itself', () => {
    const machine = new Machine(2);
    machine.on(exited(1), again(1), exited(1), exited(2), again(2), exited(2));
    expect(machine.state.phase).toBe('running');
  });

  it('gives up at once on what a user has to repair, while it starts', () => {
    const machine = new Machine(2);
    machine.on(ready(2), failed(1, 'user'), exited(1, 0, FAILED));
    expect(machine.state.phase).toBe('stopping');
    expect(machine.state.failure?.failures).toBe(1);
  });

  it('does not end what works because one worker cannot be replaced at first', () => {
    const machine = new Machine(2);
    machine.on(ready(1), ready(2), failed(1, 'user'), exited(1, 0, FAILED));
    expect(machine.phases()).toEqual(['waiting', 'ready']);
  });

  it('forgets what the process before said', () => {
    const machine = new Machine(1);
    machine.on(failed(1, 'external'), exited(1), again(1), exited(1));
    expect(machine.state.workers[0]?.failure).toBeUndefined();
  });

  it('a worker that drains is replaced, which is no failure', () => {
    const machine = new Machine(1);
    machine.on(ready(1));
    for (let i = 0; i < limits.maxFailures + 1; i += 1) {
      expect(machine.on({ kind: 'draining', worker: 1 })).toEqual([
        { kind: 'timeDrain', worker: 1 },
      ]);
      const replaced = machine.on(exited(1, 0, { code: 0, signal: null }));
      expect(replaced).toEqual([{ kind: 'startLater', worker: 1, attempt: 1 }]);
      machine.on(again(1), ready(1));
    }
    expect(machine.state.workers[0]?.failures).toBe(0);
  });

  it('kills a worker that does not drain in time, and nothing when it has ended meanwhile', () => {
    const machine = new Machine(1);
    machine.on(ready(1), { kind: 'draining', worker: 1 });
    const late: SupervisionEvent = { kind: 'drainTimedOut', worker: 1 };
    expect(machine.on(late)).toEqual([{ kind: 'signal', worker: 1, signal: 'SIGKILL' }]);
    machine.on(exited(1), again(1));
    expect(machine.on(late)).toEqual([]);
  });

  it('stops in order: SIGTERM, SIGKILL to what is left, end; nothing is started any more', () => {
    const machine = new Machine(3);
    machine.on(ready(1), exited(3));
    expect(machine.on(stop)).toEqual([
      { kind: 'signal', worker: 1, signal: 'SIGTERM' },
      { kind: 'signal', worker: 2, signal: 'SIGTERM' },
      { kind: 'timeStop' },
    ]);
    expect(machine.on(stop)).toEqual([]);
    expect(machine.on(again(3))).toEqual([]);
    expect(machine.on(exited(1))).toEqual([]);
    expect(machine.on({ kind: 'stopTimedOut' })).toEqual([
      { kind: 'signal', worker: 2, signal: 'SIGKILL' },
    ]);
    expect(machine.on(exited(2))).toEqual([{ kind: 'end' }]);
    expect(machine.state.failure).toBeUndefined();
  });

  it('ends at once when no worker has a process', () => {
    const machine = new Machine(1);
    machine.on(exited(1));
    expect(machine.on(stop)).toEqual([{ kind: 'end' }]);
  });
});

describe('supervision, whatever happens', () => {
  const worker = fc.integer({ min: 1, max: 4 });
  const event = fc.oneof(
    fc.record({ kind: fc.constant('ready' as const), worker, at: fc.nat(200_000) }),
    fc.record({ kind: fc.constant('draining' as const), worker }),
    fc.record({
      kind: fc.constant('exited' as const),
      worker,
      at: fc.nat(200_000),
      exit: fc.constant(KILLED),
    }),
    fc.record({
      kind: fc.constant('failed' as const),
      worker,
      failure: fc.record({
        code: fc.constant('X'),
        message: fc.constant(''),
        domain: fc.constantFrom('user' as const, 'external' as const),
      }),
    }),
    fc.record({ kind: fc.constant('backoffElapsed' as const), worker }),
    fc.record({ kind: fc.constant('drainTimedOut' as const), worker }),
    fc.constant(stop),
    fc.constant({ kind: 'stopTimedOut' as const }),
  );

  it('there is one process a worker at most, signals go to living ones, and the end comes once', () => {
    fc.assert(
      fc.property(fc.array(event, { maxLength: 60 }), (events) => {
        const machine = new Machine(3);
        const alive = new Set([1, 2, 3]);
        let ends = 0;
        for (const each of events) {
          if (each.kind === 'exited') alive.delete(each.worker);
          for (const action of machine.on(each)) {
            if (action.kind === 'start') {
              expect(alive.has(action.worker), 'two processes').toBe(false);
              expect(machine.state.phase).toBe('running');
              alive.add(action.worker);
            }
            if (action.kind === 'signal') expect(alive.has(action.worker)).toBe(true);
            if (action.kind === 'end') ends += 1;
          }
          const believed = machine.state.workers.filter(isAlive).map((each) => each.worker);
          expect(new Set(believed)).toEqual(alive);
        }
        expect(ends).toBe(machine.state.phase === 'ended' ? 1 : 0);
        if (machine.state.phase === 'ended') expect(alive.size).toBe(0);
      }),
    );
  });

  it('it always comes to an end: stop, then the exit of what lives', () => {
    fc.assert(
      fc.property(fc.array(event, { maxLength: 40 }), (events) => {
        const machine = new Machine(3);
        machine.on(...events, stop, { kind: 'stopTimedOut' });
        const left = machine.state.workers.filter(isAlive).map((each) => exited(each.worker));
        machine.on(...left);
        expect(machine.state.phase).toBe('ended');
      }),
    );
  });
});
