// `node scripts/bootstrap.mjs [script] [args…]`, on any Node ≥ 18 with nothing installed: installs what the lock file
// says unless it is there, then runs the script with the pinned Node. This is how every npm script that a fresh clone
// may begin with is run; npm's own `pre…` scripts do not run where `ignore-scripts` is set.
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { findNode, NODE_MAJOR, packageRoot, runScript } from '../bin/pinned-node.js';

const OFFLINE_CODES = [
  'ENOTFOUND',
  'EAI_AGAIN',
  'ECONNREFUSED',
  'ECONNRESET',
  'ETIMEDOUT',
  'ENOTCACHED',
];
const OUTPUT_TAIL = 8_192;

const lockFile = join(packageRoot, 'package-lock.json');
/** npm's own record of what it installed. */
const installedFile = join(packageRoot, 'node_modules', '.package-lock.json');
const stampFile = join(packageRoot, 'node_modules', '.reachflow-lock-hash');

function fail(code, message, hint) {
  process.stderr.write(`error ${code}: ${message}\n  hint: ${hint}\n`);
  process.exit(1);
}

function lockHash() {
  return createHash('sha256').update(readFileSync(lockFile)).digest('hex');
}

function readPackages(file) {
  return JSON.parse(readFileSync(file, 'utf8')).packages ?? {};
}

/** Is what the lock file says installed? The hash of the lock file says so at once; without it, npm's record does. */
function isCurrent(hash) {
  if (!existsSync(installedFile)) return false;
  if (existsSync(stampFile) && readFileSync(stampFile, 'utf8') === hash) return true;
  const installed = readPackages(installedFile);
  const wanted = Object.entries(readPackages(lockFile));
  const same = wanted.every(
    ([path, { version, optional }]) =>
      path === '' || optional === true || installed[path]?.version === version,
  );
  if (same) writeFileSync(stampFile, hash);
  return same;
}

/** A line that says how long it takes: rewritten on a terminal, now and then elsewhere. */
function startProgress(text) {
  const started = Date.now();
  const seconds = () => Math.round((Date.now() - started) / 1_000);
  const isTerminal = process.stderr.isTTY === true;
  process.stderr.write(isTerminal ? `${text} …` : `${text} …\n`);
  const timer = setInterval(
    () =>
      process.stderr.write(
        isTerminal ? `\r${text} … ${seconds()} s` : `${text} … ${seconds()} s\n`,
      ),
    isTerminal ? 1_000 : 15_000,
  );
  return (end) => {
    clearInterval(timer);
    process.stderr.write(`${isTerminal ? '\r' : ''}${text}: ${end} after ${seconds()} s\n`);
  };
}

async function install() {
  const npm = process.env.npm_execpath;
  const [command, ...args] = npm?.endsWith('.js') ? [process.execPath, npm] : ['npm'];
  const end = startProgress('installing dependencies (npm ci)');
  const child = spawn(command, [...args, 'ci', '--no-audit', '--no-fund', '--loglevel=error'], {
    cwd: packageRoot,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
    process.once(signal, () => {
      child.kill(signal);
      process.exit(1);
    });
  }
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text) => {
      output = (output + text).slice(-OUTPUT_TAIL);
    });
  }
  const code = await new Promise((done) => {
    child.once('error', (error) => {
      output += error.message;
      done(-1);
    });
    child.once('close', done);
  });
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.removeAllListeners(signal);
  end(code === 0 ? 'done' : 'failed');
  if (code === 0) return;
  process.stderr.write(`${output.trimEnd()}\n`);
  const npmCode = /^npm (?:error|ERR!) code (\S+)/m.exec(output)?.[1];
  if (OFFLINE_CODES.includes(npmCode)) {
    fail(
      'OFFLINE',
      `the package registry cannot be reached (${npmCode})`,
      'connect, or set npm up for your registry or proxy, then run it again.',
    );
  }
  fail(
    'INSTALL_FAILED',
    `\`npm ci\` ended with ${npmCode ?? code}`,
    'what npm says is above; `npm ci` by itself shows all of it.',
  );
}

const hash = lockHash();
if (!isCurrent(hash)) {
  await install();
  writeFileSync(stampFile, hash);
}
const node = findNode();
if (node === undefined) {
  fail(
    'NODE_MISSING',
    `Node ${NODE_MAJOR} is needed, this is ${process.version}, and the package \`node\` did not install it`,
    'npm ran no install scripts (`npm config get ignore-scripts`): run `npm rebuild --ignore-scripts=false`, or use Node 24.',
  );
}
const [script, ...args] = process.argv.slice(2);
if (script !== undefined) await runScript(node, resolve(packageRoot, script), args);
