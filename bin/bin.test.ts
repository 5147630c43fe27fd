import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

const root = join(import.meta.dirname, '..');

interface Result {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

async function run(script: string, args: readonly string[], env = process.env): Promise<Result> {
  const child = spawn(process.execPath, [script, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env,
  });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (data) => {
    stdout += String(data);
  });
  child.stderr.on('data', (data) => {
    stderr += String(data);
  });
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, stdout, stderr };
}

describe('bin/reachflow.js', () => {
  let dir: string;
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'reachflow-bin-'));
  });
  afterEach(() => rmSync(dir, { recursive: true }));

  it('runs the command line, and ends with its exit code', async () => {
    const version = await run(join(root, 'bin/reachflow.js'), ['--version']);
    expect(version).toMatchObject({ code: 0, stdout: expect.stringMatching(/^\d+\.\d+\.\d+\n$/) });
    const unknown = await run(join(root, 'bin/reachflow.js'), ['nope']);
    expect(unknown).toMatchObject({ code: 2, stderr: expect.stringContaining('unknown command') });
  });

  it('keeps what was compiled for the next start, unless told not to', async () => {
    const { NODE_COMPILE_CACHE: _none, ...without } = process.env;
    const env = { ...without, XDG_CACHE_HOME: dir };
    const kept = join(dir, 'reachflow/node');
    const off = { ...env, NODE_DISABLE_COMPILE_CACHE: '1' };
    expect((await run(join(root, 'bin/reachflow.js'), ['--version'], off)).code).toBe(0);
    expect(existsSync(kept)).toBe(false);
    expect((await run(join(root, 'bin/reachflow.js'), ['--version'], env)).code).toBe(0);
    expect(readdirSync(kept, { recursive: true }).length).toBeGreaterThan(100);
  });

  it('says what to do when nothing is installed', async () => {
    symlink('bin', 'package.json');
    // Links are resolved to where the dependencies are: these are copies, in effect.
    const args = ['--preserve-symlinks', '--preserve-symlinks-main'];
    const result = await run(join(dir, 'bin/reachflow.js'), [], {
      ...process.env,
      NODE_OPTIONS: args.join(' '),
    });
    expect(result.code).toBe(1);
    expect(result.stderr).toContain('error NOT_INSTALLED');
    expect(result.stderr).toContain('npm install');
  });

  it('strips types below node_modules, where Node does not', async () => {
    mkdirSync(join(dir, 'node_modules/part/bin'), { recursive: true });
    const part = join(dir, 'node_modules/part');
    writeFileSync(join(part, 'package.json'), '{"type":"module"}');
    writeFileSync(
      join(part, 'main.ts'),
      `import { n } from './n.ts';\nprocess.stdout.write(String(n));\n`,
    );
    writeFileSync(join(part, 'n.ts'), 'export const n: number = 42;\n');
    expect((await run(join(part, 'main.ts'), [])).stderr).toContain('TYPE_STRIPPING');
    symlinkSync(join(root, 'bin/strip-types.js'), join(part, 'bin/strip-types.js'));
    const loader = join(part, 'bin/strip-types.js');
    const env = { ...process.env, NODE_OPTIONS: `--preserve-symlinks --import=${loader}` };
    expect(await run(join(part, 'main.ts'), [], env)).toEqual({
      code: 0,
      stdout: '42',
      stderr: '',
    });
  });

  function symlink(...names: string[]): void {
    for (const name of names) symlinkSync(join(root, name), join(dir, name));
  }
});
