import { execFile } from 'node:child_process';
import { existsSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { ReachflowError } from '../runtime/errors.ts';
import { codeDigest } from './code.ts';

/** The code that a replay runs. */
export interface Checkout {
  /** As it was asked for: `local`, or a git ref. */
  readonly ref: string;
  readonly dir: string;
  /** Empty for a working tree. */
  readonly commit: string;
  readonly digest: string;
}

/** How long a command on the checkout may take, ms. */
const TIMEOUT_MS = 300_000;

/** What a version needs to be run as a replay. */
const WORKER = join('replay', 'checkout.ts');

async function run(command: string, args: readonly string[], cwd: string): Promise<string> {
  const options = { cwd, timeout: TIMEOUT_MS, maxBuffer: 16_777_216 };
  return (await promisify(execFile)(command, [...args], options)).stdout.trim();
}

function refused(message: string, hint: string, cause?: unknown): ReachflowError {
  return new ReachflowError(message, { code: 'REPLAY_CODE', domain: 'user', hint, cause });
}

/**
 * The code to run: the working tree, or a worktree of a commit with the modules that are installed here. It has to compile.
 * @param root of the user's checkout. @param home where a worktree is made.
 * @throws ReachflowError `REPLAY_CODE` when there is no such version, or it cannot run: nothing is left then.
 */
export async function checkOut(
  root: string,
  pipeline: string,
  ref: string,
  home: string,
): Promise<Checkout> {
  const { dir, commit } =
    ref === 'local' ? { dir: root, commit: '' } : await worktree(root, ref, home);
  try {
    if (!existsSync(join(dir, WORKER))) {
      throw refused(
        `${ref} cannot run as a replay: it is from before there were any`,
        'Take the change to a later version.',
      );
    }
    // This process runs the working tree: what it has loaded compiles.
    if (ref !== 'local') await compile(dir);
    return { ref, dir, commit, digest: codeDigest(dir, pipeline) };
  } catch (error) {
    if (ref !== 'local') await removeWorktree(root, dir);
    throw error;
  }
}

async function worktree(
  root: string,
  ref: string,
  home: string,
): Promise<{ readonly dir: string; readonly commit: string }> {
  let commit: string;
  try {
    const args = ['rev-parse', '--verify', '--quiet', '--end-of-options', `${ref}^{commit}`];
    commit = await run('git', args, root);
  } catch (error) {
    throw refused(
      `git knows no ${ref} in ${root}`,
      'Name a branch, a tag or a commit, or use --code local.',
      error,
    );
  }
  const dir = join(home, 'code');
  await run('git', ['worktree', 'add', '--detach', '--force', dir, commit], root);
  symlinkSync(join(root, 'node_modules'), join(dir, 'node_modules'));
  return { dir, commit };
}

/** Of a checkout that a replay has made. A worktree that is gone already is no error. */
export async function removeWorktree(root: string, dir: string): Promise<void> {
  await run('git', ['worktree', 'remove', '--force', dir], root).catch(() => undefined);
}

/** Types where the compiler is installed, syntax by Node's own stripping in any case. */
async function compile(dir: string): Promise<void> {
  const tsc = join(dir, 'node_modules', 'typescript', 'bin', 'tsc');
  const [command, args] = existsSync(tsc)
    ? [process.execPath, [tsc, '-p', '.', '--noEmit']]
    : [process.execPath, ['--check', join('pipelines', 'catalog.ts')]];
  try {
    await run(command, args, dir);
  } catch (error) {
    const { stdout = '', stderr = '' } = error as { stdout?: string; stderr?: string };
    const said = `${stdout}${stderr}`.trim().split('\n').slice(0, 5).join('\n');
    throw refused(
      `the version does not compile: ${said}`,
      'Mend it first; nothing was started.',
      error,
    );
  }
}
