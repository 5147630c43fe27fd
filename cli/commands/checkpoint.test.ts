import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  afterAll,
  afterEach,
  beforeAll,
  beforeEach,
  describe,
  expect,
  it,
  type MockInstance,
  vi,
} from 'vitest';
import { checkpointConfigSchema } from '../../runtime/checkpoint/config.ts';
import { contentsAt, filesIn, TASK, testRoot, write } from '../../runtime/checkpoint/fixtures.ts';
import { openBackend, stateDirectory } from '../../runtime/state/open-backend.ts';
import { type CheckpointSettings, checkpointCommand } from './checkpoint.ts';

const TASK_NAME = 'orders/by-tenant/3';
let root: Awaited<ReturnType<typeof testRoot>>;
let stdout: MockInstance<typeof process.stdout.write>;
let stderr: MockInstance<typeof process.stderr.write>;
beforeAll(async () => {
  root = await testRoot();
});
afterAll(() => root.remove());
beforeEach(() => {
  stdout = vi.spyOn(process.stdout, 'write').mockReturnValue(true);
  stderr = vi.spyOn(process.stderr, 'write').mockReturnValue(true);
});
afterEach(() => {
  stdout.mockRestore();
  stderr.mockRestore();
});

function setUp() {
  const storage = root.newStorage();
  const settings: CheckpointSettings = {
    checkpoint: checkpointConfigSchema.parse({ directory: storage.location }),
    namespace: TASK.namespace,
    stateDir: root.newDir(),
  };
  const run = async (...args: string[]): Promise<string> => {
    stdout.mockClear();
    await checkpointCommand(async () => settings).parseAsync(args, { from: 'user' });
    return stdout.mock.calls.map(([text]) => String(text)).join('');
  };
  return { storage, settings, run, dir: stateDirectory(settings.stateDir, TASK) };
}

describe('reachflow checkpoint list', () => {
  it('shows the checkpoints of the installation by task, the newest first', async () => {
    const { storage, run } = setUp();
    expect(await run('list')).toMatch(/^No checkpoints in \//);
    const [first, second] = [await write(storage, 10n), await write(storage, 20n)];
    await write(storage, 5n, { ...TASK, pipeline: 'billing' });
    await write(storage, 7n, { ...TASK, namespace: 'other' });
    const text = await run('list');
    const lines = text.split('\n');
    expect(lines[1]).toMatch(/^billing\/by-tenant\/3 +5 +0 s /);
    expect(lines[2]).toContain(second.id);
    expect(lines[3]).toMatch(new RegExp(`^${TASK_NAME} +10 .*complete +${first.id}$`));
    expect(lines[4]).toMatch(/^3 checkpoints of 2 tasks/);
    expect(await run('list', '--pipeline', 'billing')).toMatch(/^1 checkpoint of 1 task,/m);
  });

  it('prints one JSON object a line', async () => {
    const { storage, run } = setUp();
    const { id } = await write(storage, 10n);
    const [one, ...more] = (await run('list', '--json')).trim().split('\n');
    expect(more).toEqual([]);
    expect(JSON.parse(one ?? '')).toMatchObject({
      task: TASK_NAME,
      checkpoint: id,
      changelogOffset: '10',
      state: 'complete',
    });
  });

  it('says when checkpoints are off', async () => {
    const settings = {
      ...setUp().settings,
      checkpoint: checkpointConfigSchema.parse({ target: 'none' }),
    };
    const command = checkpointCommand(async () => settings);
    await expect(command.parseAsync(['list'], { from: 'user' })).rejects.toMatchObject({
      code: 'CHECKPOINTS_OFF',
    });
  });
});

describe('reachflow checkpoint verify', () => {
  it('reads all of them, and fails with the name of what is corrupt', async () => {
    const { storage, run } = setUp();
    const bad = await write(storage, 10n);
    await write(storage, 20n);
    await storage.putBytes(
      `${bad.prefix.replace(bad.id, '00000000000000000030-01234567')}data.mdb`,
      Buffer.from('x'),
    );
    const text = await run('verify', TASK_NAME);
    expect(text.match(/^sound/gm)).toHaveLength(2);
    expect(text).toMatch(/^unfinished .*30-01234567/m);
    const path = join(storage.location, bad.prefix, 'data.mdb');
    await writeFile(path, (await readFile(path, 'utf8')).replace('state', 'stale'));
    for (const args of [[TASK_NAME], ['--all']]) {
      await expect(run('verify', ...args)).rejects.toMatchObject({
        code: 'CHECKPOINT_CORRUPT',
        message: `1 of 3 checkpoints cannot be restored: ${TASK_NAME} ${bad.id}`,
      });
    }
  });

  it.each([[[]], [['--all', TASK_NAME]], [['orders']], [['a/b/c']]])(
    'refuses what is no task: %o',
    async (args) => {
      await expect(setUp().run('verify', ...args)).rejects.toMatchObject({
        code: 'CHECKPOINT_TASK_INVALID',
      });
    },
  );

  it('says when there is nothing to verify', async () => {
    await expect(setUp().run('verify', '--all')).rejects.toMatchObject({
      code: 'CHECKPOINT_NOT_FOUND',
    });
  });
});

describe('reachflow checkpoint restore', () => {
  it("replaces the task's state by the newest, and says what comes next", async () => {
    const { storage, run, dir } = setUp();
    await write(storage, 10n);
    await write(storage, 20n);
    await mkdir(dir, { recursive: true });
    await writeFile(join(dir, 'data.mdb'), 'old');
    const text = await run('restore', TASK_NAME);
    expect(text).toContain('reads its changelog from offset 20 on');
    expect(await filesIn(dir)).toEqual(contentsAt(20n));
  });

  it('takes the one that is named, into a directory that is named', async () => {
    const { storage, run, settings } = setUp();
    const { id } = await write(storage, 10n);
    await write(storage, 20n);
    const to = root.newDir();
    expect(await run('restore', TASK_NAME, '--checkpoint', id, '--to', to)).toContain('offset 10');
    expect(await filesIn(to)).toEqual(contentsAt(10n));
    await expect(readdir(settings.stateDir)).rejects.toThrow(/ENOENT/);
    // Whose files those are, we do not know.
    await expect(run('restore', TASK_NAME, '--to', to)).rejects.toMatchObject({
      code: 'CHECKPOINT_TARGET',
    });
  });

  it('keeps its hands off a state that a process has open', async () => {
    const { storage, run, dir } = setUp();
    await write(storage, 10n);
    const stores = [{ name: 'a', version: 1 }];
    const backend = await openBackend({ kind: 'lmdb', dir, identity: TASK, stores });
    await expect(run('restore', TASK_NAME)).rejects.toMatchObject({ code: 'STATE_LOCKED' });
    await backend.close();
    await run('restore', TASK_NAME);
    expect(await filesIn(dir)).toMatchObject(contentsAt(10n));
  });

  it('says when there is none', async () => {
    const { storage, run } = setUp();
    await write(storage, 10n);
    for (const args of [['orders/by-tenant/4'], [TASK_NAME, '--checkpoint', 'nope']]) {
      await expect(run('restore', ...args)).rejects.toMatchObject({ code: 'CHECKPOINT_NOT_FOUND' });
    }
  });
});
