import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { type FileHandle, mkdir, open, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { errorCode } from '../../runtime/errors.ts';
import type { LaunchCommand } from './component.ts';
import { type ProcessIdentity, parseStat } from './process-identity.ts';

/**
 * Processes that are on record before they do anything: the new process writes boot id and `/proc` stat line
 * (pid, start time) on a descriptor that the launcher opened, and only then becomes the wanted program. So no
 * program ever runs without a record, at whichever instruction the launcher is killed; and the record is
 * exact, since exec keeps pid and start time.
 */
const RECORD_THEN_EXEC = [
  'IFS= read -r boot </proc/sys/kernel/random/boot_id',
  'IFS= read -r stat </proc/$$/stat',
  'printf "%s\\n%s\\n" "$boot" "$stat" >&3',
  'exec "$@" 3>&-',
].join(' && ');

/** A record is written within milliseconds; an empty one this old belongs to no process. */
const GRACE_MS = 2_000;
const POLL_MS = 20;

export interface SpawnedProcess {
  /** Resolves to how it ended: `exit code 1`, `signal SIGKILL`, or why it could not start. */
  readonly ended: Promise<string>;
  /** How it ended; undefined while it runs. */
  exit(): string | undefined;
}

/** Start a command as the leader of a session of its own, so that it outlives us, with its record in a file. */
export async function spawnRecorded(
  recordFile: string,
  command: LaunchCommand,
  files: { readonly log: FileHandle; readonly input?: FileHandle | undefined },
): Promise<SpawnedProcess> {
  await mkdir(dirname(recordFile), { recursive: true });
  const record = await open(recordFile, 'w');
  try {
    const child = spawn(
      '/bin/sh',
      ['-c', RECORD_THEN_EXEC, 'reachflow-engine', command.file, ...command.args],
      {
        detached: true,
        stdio: [files.input?.fd ?? 'ignore', files.log.fd, files.log.fd, record.fd],
        env: { ...process.env, ...command.env },
        cwd: command.cwd,
        ...command.user,
      },
    );
    let exit: string | undefined;
    const ended = new Promise<string>((resolve) => {
      child.once('error', (error) => resolve(error.message));
      child.once('exit', (code, signal) =>
        resolve(signal === null ? `exit code ${code}` : `signal ${signal}`),
      );
    }).then((how) => {
      exit = how;
      return how;
    });
    child.unref();
    return { ended, exit: () => exit };
  } finally {
    await record.close();
  }
}

/** The process of a record, alive or not. Waits a moment for a newborn that has not written yet. */
export async function readRecord(file: string): Promise<ProcessIdentity | undefined> {
  for (;;) {
    const identity = readRecordNow(file);
    if (identity !== undefined) return identity;
    const created = await stat(file).catch(() => undefined);
    if (created === undefined || Date.now() - created.mtimeMs > GRACE_MS) return undefined;
    await sleep(POLL_MS);
  }
}

/** As `readRecord`, without waiting. */
export function readRecordNow(file: string): ProcessIdentity | undefined {
  const [bootId, statLine] = readIfPresent(file)?.split('\n') ?? [];
  if (bootId === undefined || statLine === undefined) return undefined;
  const parsed = parseStat(statLine);
  return parsed && { pid: parsed.pid, startTicks: parsed.startTicks, bootId };
}

function readIfPresent(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined;
    throw error;
  }
}
