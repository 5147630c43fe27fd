// Plain JavaScript for Node ≥ 18: it must run before the pinned Node is found, and before anything is installed.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import * as nodeModule from 'node:module';
import { homedir } from 'node:os';
import { dirname, isAbsolute, join, sep } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

/** The major version that runs TypeScript without a build, and that everything is tested with. */
export const NODE_MAJOR = 24;

export const packageRoot = fileURLToPath(new URL('..', import.meta.url));

const require = nodeModule.createRequire(import.meta.url);
const ownMajor = Number(process.versions.node.split('.')[0]);

/**
 * The Node to run with: this one when it is of the pinned major, else the one of the npm package `node`, else this
 * one when it is newer.
 * @returns {string | undefined} undefined when there is none: nothing is installed, or install scripts did not run.
 */
export function findNode() {
  if (ownMajor === NODE_MAJOR) return process.execPath;
  try {
    const pinned = join(dirname(require.resolve('node/package.json')), 'bin', 'node');
    if (existsSync(pinned)) return pinned;
  } catch (error) {
    if (error.code !== 'MODULE_NOT_FOUND') throw error;
  }
  return ownMajor > NODE_MAJOR ? process.execPath : undefined;
}

/** Are the dependencies there? */
export function isInstalled() {
  try {
    require.resolve('commander');
    return true;
  } catch {
    return false;
  }
}

/** Node strips types nowhere below node_modules; there a loader of ours does, also in the processes we start. */
function prepareTypeStripping() {
  if (!packageRoot.includes(`${sep}node_modules${sep}`)) return;
  const loader = pathToFileURL(join(packageRoot, 'bin', 'strip-types.js')).href;
  process.env.NODE_OPTIONS = `${process.env.NODE_OPTIONS ?? ''} --import=${loader}`.trim();
}

/**
 * What was compiled once, its types stripped, is kept for the next start, which then takes half the time; also for the
 * processes that we start. Not below the system's temporary directory, where others could put code of theirs.
 */
function prepareCompileCache() {
  const { env } = process;
  const base = env.XDG_CACHE_HOME ?? '';
  env.NODE_COMPILE_CACHE ??= join(
    isAbsolute(base) ? base : join(homedir(), '.cache'),
    'reachflow',
    'node',
  );
}

/**
 * Runs a script with `node`: in this process when it is that one, else in its place where the platform can, else
 * in a child process with our standard streams, our signals and, in the end, its exit code.
 * @param {string} node
 * @param {string} script absolute path
 * @param {readonly string[]} args
 */
export async function runScript(node, script, args) {
  prepareTypeStripping();
  prepareCompileCache();
  if (node === process.execPath) {
    // Reads the environment, `NODE_DISABLE_COMPILE_CACHE` too; a process that begins with it does so by itself.
    nodeModule.enableCompileCache?.();
    if (process.env.NODE_OPTIONS?.includes('strip-types.js')) await import('./strip-types.js');
    process.argv = [node, script, ...args];
    await import(pathToFileURL(script).href);
    return;
  }
  if (typeof process.execve === 'function') {
    process.execve(node, [node, script, ...args], process.env);
  }
  const child = spawn(node, [script, ...args], { stdio: 'inherit' });
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT']) {
    process.on(signal, () => {
      // Ctrl-C reaches the child by itself: it is in the terminal's foreground group, too.
      if (signal !== 'SIGINT' || !process.stdin.isTTY) child.kill(signal);
    });
  }
  const [code, signal] = await new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (...how) => resolve(how));
  });
  if (signal === null) process.exitCode = code;
  else {
    process.removeAllListeners(signal);
    process.kill(process.pid, signal);
  }
}
