import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  closeSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { afterAll, describe, expect, it } from 'vitest';
import { TEST_TASK } from './conformance.ts';
import { keyValueStore } from './key-value-store.ts';
import { openBackend, type SetAside } from './open-backend.ts';
import { textSerde } from './serde.ts';
import { storesOf, TaskState } from './task-state.ts';
import {
  COUNTERS,
  counterAfter,
  KEYS,
  SEEN,
  SEEN_KEYS,
  SEGMENT_ENTRIES,
  WRITER_TASK,
} from './testing/counters.ts';

const texts = keyValueStore('texts', textSerde);
const root = mkdtempSync(join(tmpdir(), 'reachflow-faults-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

async function openTexts(dir: string, setAside: SetAside[] = []) {
  const backend = await openBackend({
    kind: 'lmdb',
    dir,
    identity: TEST_TASK,
    stores: storesOf([texts]),
    maxBytes: 2 ** 26,
    onSetAside: (event) => setAside.push(event),
  });
  return { backend, state: new TaskState([texts], backend) };
}

/** A closed state with so many entries, and where it is. */
async function written(name: string, entries: number): Promise<string> {
  const dir = join(root, name);
  const { state } = await openTexts(dir);
  const store = state.store(texts);
  for (let index = 0; index < entries; index += 1)
    store.set(`key-${index}`, `value of ${index} `.repeat(index % 200 === 0 ? 400 : 1));
  state.takeChanges();
  state.committed(100n);
  await state.close();
  return dir;
}

const writers: ChildProcess[] = [];
afterAll(() => {
  for (const writer of writers) writer.kill('SIGKILL');
});

async function startWriter(dir: string, epoch: number): Promise<ChildProcess> {
  const script = new URL('./testing/killed-writer.ts', import.meta.url).pathname;
  const writer = spawn(process.execPath, [script, dir, String(epoch)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  writers.push(writer);
  const [said] = (await once(writer.stdout, 'data')) as [Buffer];
  expect(said.toString()).toBe('open\n');
  return writer;
}

async function killed(writer: ChildProcess): Promise<void> {
  const ended = once(writer, 'exit');
  writer.kill('SIGKILL');
  await ended;
}

describe('LMDB state after a process was killed', () => {
  it('opens with content and position that agree, killed again and again while it writes', async () => {
    const dir = join(root, 'killed');
    let epoch = 0;
    let progress = 0;
    for (let round = 0; round < 8; round += 1) {
      const writer = await startWriter(dir, epoch);
      await setTimeout(20 + Math.random() * 150);
      await killed(writer);

      const backend = await openBackend({
        kind: 'lmdb',
        dir,
        identity: WRITER_TASK,
        stores: storesOf([COUNTERS, SEEN]),
        maxBytes: 2 ** 26,
        segmentEntries: SEGMENT_ENTRIES,
        onSetAside: ({ reason }) => expect.unreachable(reason),
      });
      const state = new TaskState([COUNTERS, SEEN], backend);
      const reached = Number(state.position ?? 0n);
      expect(reached).toBeGreaterThanOrEqual(epoch);
      progress += reached > epoch ? 1 : 0;
      epoch = reached;
      for (let index = 0; index < KEYS; index += 1) {
        const value = state.store(COUNTERS).get(`counter-${index}`) ?? 0;
        expect(value).toBe(counterAfter(index, epoch));
      }
      for (let at = Math.max(1, epoch - SEEN_KEYS + 1); at <= epoch; at += 1)
        expect(state.store(SEEN).get(`${at % SEEN_KEYS}/7`, epoch)).toBe(at);
      const newest = Math.min(epoch, SEEN_KEYS);
      expect([...state.store(SEEN).range(undefined, undefined, epoch)]).toHaveLength(10 * newest);
      // Every other time the next writer finds what the killed one left, not what this process closed.
      if (round % 2 === 0) await state.close();
      else await crash(dir, state);
    }
    expect(progress).toBeGreaterThan(3);
  }, 180_000);

  async function crash(dir: string, state: TaskState): Promise<void> {
    const left = join(root, 'left');
    cpSync(dir, left, { recursive: true, filter: (path) => !path.endsWith('.sock') });
    await state.close();
    for (const name of readdirSync(left)) cpSync(join(left, name), join(dir, name));
    rmSync(left, { recursive: true });
  }

  it('refuses a second process, and lets it in once the first was killed', async () => {
    const dir = join(root, 'locked');
    const writer = await startWriter(dir, 0);
    const open = () =>
      openBackend({
        kind: 'lmdb',
        dir,
        identity: WRITER_TASK,
        stores: storesOf([COUNTERS, SEEN]),
        maxBytes: 2 ** 26,
      });
    await expect(open()).rejects.toMatchObject({ code: 'STATE_LOCKED', retry: 'backoff' });
    await killed(writer);
    await (await open()).close();
  }, 60_000);
});

describe('LMDB state that is not as it was left', () => {
  const damages: [string, (file: string) => void][] = [
    ['is cut off', (file) => truncateSync(file, 3 * 4_096 + 100)],
    ['is cut off within its header', (file) => truncateSync(file, 100)],
    ['is empty', (file) => truncateSync(file, 0)],
    ['is something else', (file) => writeFileSync(file, 'not a database'.repeat(1_000))],
    ['has its newest header overwritten', (file) => overwrite(file, 0, Buffer.alloc(8_192, 0xa5))],
    ['lost a page', (file) => overwrite(file, 12 * 4_096, Buffer.alloc(4_096))],
    ['has garbage in all pages', (file) => garbage(file, 2, 1)],
    ['has a changed value', (file) => flip(file, 'value of 1234 ')],
    ['has a changed large value', (file) => flip(file, 'value of 800 value of 800 ')],
  ];

  it.each(damages)('%s: it is set aside, and the task begins empty', async (what, damage) => {
    const dir = await written(what.replaceAll(' ', '-'), 2_000);
    damage(join(dir, 'data.mdb'));
    const events: SetAside[] = [];
    const { state } = await openTexts(dir, events);
    expect(events).toHaveLength(1);
    expect(readdirSync(events[0]?.movedTo ?? '')).toContain('data.mdb');
    expect(state.position).toBeUndefined();
    state.store(texts).set('a', 'b');
    state.takeChanges();
    state.committed(7n);
    await state.close();
    const again = await openTexts(dir, events);
    expect(events).toHaveLength(1);
    expect(again.state.store(texts).get('a')).toBe('b');
    await again.state.close();
  });

  it('was open when the machine stopped: it is set aside', async () => {
    const dir = await written('power', 10);
    writeFileSync(join(dir, 'session.json'), JSON.stringify({ boot: 'another' }));
    const events: SetAside[] = [];
    const { state } = await openTexts(dir, events);
    expect(events.map(({ reason }) => reason)).toEqual([
      'it was not closed before the machine stopped',
    ]);
    await state.close();
  });

  it('was damaged while it is open: the value is refused, not used', async () => {
    const dir = await written('open', 2_000);
    const { state } = await openTexts(dir);
    flip(join(dir, 'data.mdb'), 'value of 1234 ');
    expect(() => state.store(texts).get('key-1234')).toThrow(
      expect.objectContaining({ code: 'STATE_CORRUPT' }),
    );
    expect(state.store(texts).get('key-1235')).toBe('value of 1235 ');
    await state.close();
    const events: SetAside[] = [];
    const again = await openTexts(dir, events);
    expect(events).toHaveLength(1);
    await again.state.close();
  });
});

function overwrite(file: string, at: number, bytes: Buffer): void {
  const handle = openSync(file, 'r+');
  writeSync(handle, bytes, 0, bytes.length, at);
  closeSync(handle);
}

function garbage(file: string, fromPage: number, step: number): void {
  const pages = Math.floor(statSync(file).size / 4_096);
  for (let page = fromPage; page < pages; page += step) {
    const bytes = Buffer.from(Array.from({ length: 4_096 }, () => Math.random() * 256));
    overwrite(file, page * 4_096, bytes);
  }
}

/** Changes one byte of every place that has this text. */
function flip(file: string, text: string): void {
  const content = readFileSync(file);
  let at = content.indexOf(text);
  expect(at).toBeGreaterThan(0);
  for (; at >= 0; at = content.indexOf(text, at + 1)) overwrite(file, at + 2, Buffer.from('#'));
}

describe('LMDB state on a full disk', () => {
  const canMount = (() => {
    const dir = join(root, 'probe');
    mkdirSync(dir);
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=4m', 'tmpfs', dir], { stdio: 'ignore' });
      execFileSync('umount', [dir]);
      return true;
    } catch {
      return false;
    }
  })();

  // Mounting a small disk takes rights that not everybody has.
  it.runIf(canMount)('says so, keeps what it has, and goes on once there is room', async () => {
    const disk = join(root, 'disk');
    mkdirSync(disk);
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=24m', 'tmpfs', disk]);
    try {
      writeFileSync(join(disk, 'ballast'), Buffer.alloc(12 * 1024 * 1024));
      const { state } = await openTexts(join(disk, 'state'));
      const store = state.store(texts);
      let epoch = 0;
      const next = () => {
        epoch += 1;
        for (let index = 0; index < 200; index += 1)
          store.set(`${epoch}/${index}`, `${epoch} `.repeat(300));
        state.takeChanges();
        state.committed(BigInt(epoch));
        state.flush();
      };
      const fill = () => {
        while (epoch < 1_000) next();
      };
      expect(fill).toThrow(expect.objectContaining({ code: 'STATE_DISK_FULL', retry: 'backoff' }));
      const full = epoch;
      expect(Number(state.position)).toBe(full - 1);
      expect(() => state.flush()).toThrow(expect.objectContaining({ code: 'STATE_DISK_FULL' }));
      expect(store.get(`${full}/7`)).toBe(`${full} `.repeat(300));

      rmSync(join(disk, 'ballast'));
      state.flush();
      expect(Number(state.position)).toBe(full);
      next();
      await state.close();
      const again = await openTexts(join(disk, 'state'));
      expect(Number(again.state.position)).toBe(epoch);
      for (let at = 1; at <= epoch; at += 1)
        expect(again.state.store(texts).get(`${at}/199`)).toBe(`${at} `.repeat(300));
      await again.state.close();
    } finally {
      execFileSync('umount', [disk]);
    }
  });

  it.runIf(canMount)(
    'the same when a run has no room: what is sealed stays where it was',
    async () => {
      const disk = join(root, 'small');
      mkdirSync(disk);
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=24m', 'tmpfs', disk]);
      const open = async () => {
        const backend = await openBackend({
          kind: 'lmdb',
          dir: join(disk, 'state'),
          identity: TEST_TASK,
          stores: storesOf([SEEN]),
          maxBytes: 2 ** 26,
          segmentEntries: 2_000,
        });
        return new TaskState([SEEN], backend);
      };
      try {
        writeFileSync(join(disk, 'ballast'), Buffer.alloc(14 * 1024 * 1024));
        const state = await open();
        const store = state.store(SEEN);
        let epoch = 0;
        const next = () => {
          epoch += 1;
          for (let index = 0; index < 500; index += 1)
            store.set(`${index}/${epoch}/${'x'.repeat(200)}`, epoch, 0);
          state.takeChanges();
          state.committed(BigInt(epoch));
          state.flush();
        };
        const fill = () => {
          while (epoch < 1_000) next();
        };
        expect(fill).toThrow(
          expect.objectContaining({ code: 'STATE_DISK_FULL', retry: 'backoff' }),
        );
        expect(Number(state.position)).toBe(epoch - 1);
        const count = () => [...store.range(undefined, undefined, 0)].length;
        expect(count()).toBe(500 * epoch);
        rmSync(join(disk, 'ballast'));
        state.flush();
        for (let more = 0; more < 20; more += 1) next();
        expect(count()).toBe(500 * epoch);
        await state.close();
        const again = await open();
        expect(Number(again.position)).toBe(epoch);
        expect([...again.store(SEEN).range(undefined, undefined, 0)]).toHaveLength(500 * epoch);
        await again.close();
      } finally {
        execFileSync('umount', [disk]);
      }
    },
    60_000,
  );

  it('stops at its own limit in the same way', async () => {
    const dir = join(root, 'limit');
    const backend = await openBackend({
      kind: 'lmdb',
      dir,
      identity: TEST_TASK,
      stores: storesOf([texts]),
      maxBytes: 8 * 1024 * 1024,
    });
    const state = new TaskState([texts], backend);
    const fill = () => {
      for (let epoch = 1; epoch < 1_000; epoch += 1) {
        for (let index = 0; index < 100; index += 1)
          state.store(texts).set(`${epoch}/${index}`, 'x'.repeat(500));
        state.takeChanges();
        state.committed(BigInt(epoch));
        state.flush();
      }
    };
    expect(fill).toThrow(expect.objectContaining({ code: 'STATE_DISK_FULL' }));
    expect(state.store(texts).get('1/1')).toBe('x'.repeat(500));
    await state.close().catch((error: unknown) => {
      expect(error).toMatchObject({ code: 'STATE_DISK_FULL' });
    });
  });
});
