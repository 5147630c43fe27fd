import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import type { BackendKind, StateBackend } from './backend.ts';
import { TEST_TASK } from './conformance.ts';
import { keyValueStore } from './key-value-store.ts';
import { openBackend, removeState } from './open-backend.ts';
import { jsonSerde, numberSerde, textSerde } from './serde.ts';
import { sessionStore } from './session-store.ts';
import { storesOf, TaskState } from './task-state.ts';
import { ttlStore } from './ttl-store.ts';
import { windowStore } from './window-store.ts';

const TTL_MS = 100;
const keyValues = keyValueStore('values', jsonSerde<{ n: number }>());
const ids = ttlStore('ids', { ttlMs: TTL_MS, graceMs: 10, serde: numberSerde });
const windows = windowStore('windows', numberSerde);
const sessions = sessionStore('sessions', textSerde);
const SPECS = [keyValues, ids, windows, sessions];
const STARTS = [-60_000, 0, 60_000, 120_000];

/** Maps and copies: nothing here can be wrong in the way the real thing can. */
interface Model {
  values: Map<string, { n: number }>;
  ids: Map<string, { n: number; at: number }>;
  windows: Map<string, { key: string; start: number; n: number }>;
  sessions: Map<string, { key: string; start: number; end: number; v: string }>;
  meta: string | undefined;
}

const emptyModel = (): Model => ({
  values: new Map(),
  ids: new Map(),
  windows: new Map(),
  sessions: new Map(),
  meta: undefined,
});
const copy = (model: Model): Model => structuredClone(model);
const byBytes = (a: string, b: string) => Buffer.compare(Buffer.from(a), Buffer.from(b));

/** Keys that are prefixes of each other, have zero bytes, and whose UTF-16 order is not that of their bytes. */
const key = fc.constantFrom('', 'a', 'a\0', 'ab', 'b', '\0', 'é', '\uff5e', '\u{1f600}', 'zz');

type Op =
  | { op: 'value' | 'id'; key: string; n: number }
  | { op: 'deleteValue' | 'deleteId' | 'deleteSession'; key: string }
  | { op: 'window'; key: string; start: number; n: number | undefined }
  | { op: 'session'; key: string; start: number; length: number }
  | { op: 'meta'; key: string }
  | { op: 'time'; n: number }
  | { op: 'take' | 'commit' | 'rollback' | 'flush' | 'truncate' | 'check' }
  | { op: 'crash'; keepsStore: boolean; landed: number };

const n = fc.nat(1_000);
const op: fc.Arbitrary<Op> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ op: fc.constant('value' as const), key, n }) },
  { weight: 4, arbitrary: fc.record({ op: fc.constant('id' as const), key, n }) },
  {
    weight: 3,
    arbitrary: fc.record({
      op: fc.constantFrom('deleteValue' as const, 'deleteId' as const, 'deleteSession' as const),
      key,
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      op: fc.constant('window' as const),
      key,
      start: fc.constantFrom(...STARTS),
      n: fc.option(n, { nil: undefined }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      op: fc.constant('session' as const),
      key,
      start: fc.nat(50),
      length: fc.nat(30),
    }),
  },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('meta' as const), key }) },
  { weight: 2, arbitrary: fc.record({ op: fc.constant('time' as const), n: fc.nat(120) }) },
  {
    weight: 9,
    arbitrary: fc.record({
      op: fc.constantFrom(
        ...(['take', 'commit', 'commit', 'rollback', 'flush', 'truncate', 'check'] as const),
      ),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      op: fc.constant('crash' as const),
      keepsStore: fc.boolean(),
      landed: fc.nat(2),
    }),
  },
);

/** A task with its changelog, and beside it what it should be. */
class Subject {
  readonly #kind: BackendKind;
  readonly #dir: string;
  readonly #segmentEntries: number;
  #backend: StateBackend | undefined;
  #state: TaskState | undefined;
  #log: { offset: bigint; segment: Buffer }[] = [];
  #next = 0n;
  #start = 0n;
  #inFlight: { segments: Buffer[]; model: Model }[] = [];
  #committed = emptyModel();
  #current = emptyModel();
  #time = 1_000;
  passes = 0;

  constructor(kind: BackendKind, dir: string, segmentEntries: number) {
    this.#kind = kind;
    this.#dir = dir;
    this.#segmentEntries = segmentEntries;
  }

  get state(): TaskState {
    if (this.#state === undefined) throw new Error('not open');
    return this.#state;
  }

  async open(): Promise<void> {
    const backend = await openBackend({
      kind: this.#kind,
      dir: this.#dir,
      identity: TEST_TASK,
      stores: storesOf(SPECS),
      maxBytes: 2 ** 28,
      segmentEntries: this.#segmentEntries,
      onSetAside: ({ reason }) => expect.unreachable(reason),
    });
    this.#backend = backend;
    // Small bounds: a few operations are enough for flushes and passes.
    const options = {
      flushEntries: 5,
      flushMs: 1e9,
      minLogBytes: 400,
      liveFactor: 0.001,
      passEntries: 3,
    };
    this.#state = new TaskState(SPECS, backend, options);
    const from = this.state.startRestore(this.#start, this.#next);
    for (const { offset, segment } of this.#log)
      if (offset >= from) this.state.restore(segment, offset + 1n);
    this.state.endRestore();
  }

  /** The process ends here; `landed` of the epochs on their way were committed all the same. */
  async crash(keepsStore: boolean, landed: number): Promise<void> {
    for (const { segments, model } of this.#inFlight.slice(0, landed)) {
      this.#append(segments);
      this.#committed = model;
    }
    this.#inFlight = [];
    this.#current = copy(this.#committed);
    await this.#backend?.close();
    if (!keepsStore) await removeState(this.#dir);
    await this.open();
    this.check();
  }

  async close(): Promise<void> {
    await this.#backend?.close();
  }

  #append(segments: readonly Buffer[]): void {
    for (const segment of segments) {
      this.#log.push({ offset: this.#next, segment });
      this.#next += 1n;
    }
    // The transaction's marker.
    this.#next += 1n;
  }

  take(): void {
    if (this.#inFlight.length >= 2) return;
    this.state.housekeep(this.#time);
    this.#inFlight.push({ segments: this.state.takeChanges(), model: copy(this.#current) });
  }

  commit(): void {
    if (this.#inFlight.length === 0) this.take();
    const epoch = this.#inFlight.shift();
    if (epoch === undefined) return;
    this.#append(epoch.segments);
    this.#committed = epoch.model;
    this.state.committed(this.#next - 1n);
  }

  /** Deletes the redundant part of the log, as the task does. */
  truncate(): void {
    const { boundary } = this.state;
    if (boundary === undefined || boundary <= this.#start) return;
    this.passes += 1;
    this.#start = boundary;
    this.#log = this.#log.filter(({ offset }) => offset >= boundary);
  }

  async run(step: Op): Promise<void> {
    const { state } = this;
    const model = this.#current;
    switch (step.op) {
      case 'value':
        state.store(keyValues).set(step.key, { n: step.n });
        model.values.set(step.key, { n: step.n });
        return;
      case 'deleteValue':
        state.store(keyValues).delete(step.key);
        model.values.delete(step.key);
        return;
      case 'id': {
        // Some are late, and some so far ahead that they are in the way of what expires after them.
        const at = step.n % 10 === 0 ? this.#time + step.n : this.#time - (step.n % 150);
        state.store(ids).set(step.key, step.n, at);
        model.ids.set(step.key, { n: step.n, at });
        return;
      }
      case 'deleteId':
        state.store(ids).delete(step.key);
        model.ids.delete(step.key);
        return;
      case 'window':
        return this.#window(step.key, step.start, step.n);
      case 'session': {
        const end = step.start + step.length;
        state.store(sessions).set(step.key, step.start, end, `${end}`);
        model.sessions.set(`${step.key}/${step.start}/${end}`, {
          key: step.key,
          start: step.start,
          end,
          v: `${end}`,
        });
        return;
      }
      case 'deleteSession':
        for (const { start, end } of state.store(sessions).overlapping(step.key, 0, 40)) {
          state.store(sessions).delete(step.key, start, end);
          model.sessions.delete(`${step.key}/${start}/${end}`);
        }
        return;
      case 'meta':
        state.setMeta('watermark', Buffer.from(step.key));
        model.meta = step.key;
        return;
      case 'time':
        this.#time += step.n;
        return;
      case 'rollback':
        state.rollback();
        this.#inFlight = [];
        this.#current = copy(this.#committed);
        return;
      case 'crash':
        return this.crash(step.keepsStore, step.landed);
      case 'flush':
        return state.flush();
      case 'check':
        return this.check();
      case 'take':
        return this.take();
      case 'commit':
        return this.commit();
      case 'truncate':
        return this.truncate();
    }
  }

  #window(name: string, start: number, value: number | undefined): void {
    const id = `${start}/${name}`;
    if (value === undefined) {
      this.state.store(windows).delete(name, start);
      this.#current.windows.delete(id);
    } else {
      this.state.store(windows).set(name, start, value);
      this.#current.windows.set(id, { key: name, start, n: value });
    }
  }

  check(): void {
    const { state } = this;
    const model = this.#current;
    const now = this.#time;
    expect([...state.store(keyValues).range()]).toEqual(
      [...model.values].sort(([a], [b]) => byBytes(a, b)),
    );
    for (const [id, value] of model.values) expect(state.store(keyValues).get(id)).toEqual(value);
    const live = [...model.ids]
      .filter(([, { at }]) => at + TTL_MS > now)
      .sort(([a], [b]) => byBytes(a, b));
    expect([...state.store(ids).range(undefined, undefined, now)]).toEqual(
      live.map(([id, { n: value, at }]) => [id, value, at]),
    );
    for (const [id, { at }] of model.ids)
      expect(state.store(ids).has(id, now)).toBe(at + TTL_MS > now);
    const inOrder = [...model.windows.values()].sort(
      (a, b) => a.start - b.start || byBytes(a.key, b.key),
    );
    const found = [...state.store(windows).startingBefore(60_000)];
    expect(found).toEqual(
      inOrder
        .filter(({ start }) => start < 60_000)
        .map(({ n: value, ...at }) => ({ ...at, value })),
    );
    for (const name of ['a', '\u{1f600}']) {
      expect([...state.store(windows).fetch(name, 0, 60_000)].map(({ start }) => start)).toEqual(
        inOrder
          .filter((w) => w.key === name && w.start >= 0 && w.start <= 60_000)
          .map((w) => w.start),
      );
      const overlapping = [...model.sessions.values()]
        .filter((s) => s.key === name && s.start <= 30 && s.end >= 10)
        .sort((a, b) => a.end - b.end || a.start - b.start)
        .map(({ start, end, v }) => ({ start, end, value: v }));
      expect(state.store(sessions).overlapping(name, 10, 30)).toEqual(overlapping);
    }
    expect(state.getMeta('watermark')?.toString()).toBe(model.meta);
  }
}

describe('state against a model', () => {
  const root = mkdtempSync(join(tmpdir(), 'reachflow-model-'));
  afterAll(() => rmSync(root, { recursive: true, force: true }));

  it.each([
    { kind: 'memory', segmentEntries: 1, runs: 300 },
    { kind: 'lmdb', segmentEntries: 50, runs: 60 },
    { kind: 'lmdb', segmentEntries: 2, runs: 120 },
  ] as const)(
    '$kind, segments of $segmentEntries: commits, rollbacks, flushes, crashes, housekeeping',
    async ({ kind, segmentEntries, runs }) => {
      let passes = 0;
      let count = 0;
      const property = fc.asyncProperty(
        fc.array(op, { minLength: 20, maxLength: 150, size: 'max' }),
        async (steps) => {
          const subject = new Subject(
            kind,
            join(root, `${kind}-${segmentEntries}`, String(count++)),
            segmentEntries,
          );
          await subject.open();
          try {
            for (const step of steps) await subject.run(step);
            subject.check();
            await subject.crash(false, 1);
            passes += subject.passes;
          } finally {
            await subject.close();
          }
        },
      );
      await fc.assert(property, { numRuns: runs });
      // Otherwise the runs prove nothing about truncated logs.
      expect(passes).toBeGreaterThan(runs / 10);
    },
    120_000,
  );
});
