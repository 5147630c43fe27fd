import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { Command } from 'commander';
import {
  allCheckpoints,
  type CheckpointEntry,
  checkpointsOf,
  problemOf,
} from '../../runtime/checkpoint/catalog.ts';
import type { CheckpointConfig } from '../../runtime/checkpoint/config.ts';
import { taskName } from '../../runtime/checkpoint/layout.ts';
import {
  restoreCheckpoint,
  type SkippedCheckpoint,
  verifyCheckpoint,
} from '../../runtime/checkpoint/restore.ts';
import type { CheckpointStorage } from '../../runtime/checkpoint/storage.ts';
import { createCheckpointStorage } from '../../runtime/checkpoint/storage-factory.ts';
import { errorMessage, ReachflowError } from '../../runtime/errors.ts';
import type { StateIdentity } from '../../runtime/state/contract.ts';
import { lockDirectory } from '../../runtime/state/directory-lock.ts';
import { removeState, stateDirectory } from '../../runtime/state/open-backend.ts';
import { formatBytes, listTable, progressBar, toJson, verdictLine } from '../checkpoint-view.ts';
import { loadAppConfig } from '../config.ts';
import { line, note } from '../output.ts';

/** What the commands read of the configuration. */
export interface CheckpointSettings {
  readonly checkpoint: CheckpointConfig;
  readonly namespace: string;
  readonly stateDir: string;
}

interface CommonOptions {
  readonly config?: string;
}

interface ListOptions extends CommonOptions {
  readonly pipeline?: string;
  readonly json?: boolean;
}

interface VerifyOptions extends CommonOptions {
  readonly all?: boolean;
}

interface RestoreOptions extends CommonOptions {
  readonly checkpoint?: string;
  readonly to?: string;
}

type LoadSettings = (file: string | undefined) => Promise<CheckpointSettings>;

async function loadSettings(file: string | undefined): Promise<CheckpointSettings> {
  const { config } = await loadAppConfig(file === undefined ? {} : { file });
  const { checkpoint, kafka, state } = config;
  return { checkpoint, namespace: kafka.namespace, stateDir: state.dir };
}

/** The configured storage. @throws ReachflowError `CHECKPOINTS_OFF`. */
function storageOf({ checkpoint }: CheckpointSettings): CheckpointStorage {
  const storage = createCheckpointStorage(checkpoint);
  if (storage !== undefined) return storage;
  throw new ReachflowError('there are no checkpoints: checkpoint.target is none', {
    code: 'CHECKPOINTS_OFF',
    domain: 'user',
    hint: 'Set checkpoint.target to directory or s3; `reachflow config` shows what is set.',
  });
}

/** `<pipeline>/<subtopology>/<partition>`. @throws ReachflowError `CHECKPOINT_TASK_INVALID`. */
export function parseTask(text: string, namespace: string): StateIdentity {
  const [pipeline, subTopology, partition, ...more] = text.split('/');
  const complete = pipeline !== undefined && subTopology !== undefined && partition !== undefined;
  if (complete && pipeline && subTopology && /^\d{1,9}$/.test(partition) && more.length === 0) {
    return { namespace, pipeline, subTopology, partition: Number(partition) };
  }
  throw new ReachflowError(`${JSON.stringify(text)} is no task`, {
    code: 'CHECKPOINT_TASK_INVALID',
    domain: 'user',
    hint: 'Write <pipeline>/<subtopology>/<partition>, as `reachflow checkpoint list` shows it.',
  });
}

async function list(settings: CheckpointSettings, options: ListOptions): Promise<void> {
  const storage = storageOf(settings);
  try {
    const entries = await allCheckpoints(storage, settings.namespace, options.pipeline);
    if (options.json === true) {
      for (const entry of entries) line(toJson(entry));
      return;
    }
    if (entries.length === 0) {
      line(`No checkpoints in ${storage.location}.`);
      return;
    }
    const now = Date.now();
    line(listTable(entries, now));
    const tasks = new Set(entries.map(({ identity }) => taskName(identity))).size;
    const bytes = entries.reduce((sum, entry) => sum + entry.bytes, 0);
    const what = `${counted(entries.length, 'checkpoint')} of ${counted(tasks, 'task')}`;
    line(`${what}, ${formatBytes(bytes)}, in ${storage.location}`);
  } finally {
    storage.close();
  }
}

function counted(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? '' : 's'}`;
}

/** Why a checkpoint that was read whole cannot be restored; undefined when it can. */
async function problemWhenRead(
  storage: CheckpointStorage,
  entry: CheckpointEntry,
): Promise<string | undefined> {
  if (entry.state !== 'complete') return problemOf(entry);
  const bar = progressBar(`${taskName(entry.identity)} ${entry.id}`);
  try {
    await verifyCheckpoint(storage, entry, { onProgress: bar.show });
    return undefined;
  } catch (error) {
    if (error instanceof ReachflowError && error.code === 'CHECKPOINT_CORRUPT')
      return error.message;
    throw error;
  } finally {
    bar.end();
  }
}

async function verify(
  settings: CheckpointSettings,
  task: string | undefined,
  options: VerifyOptions,
): Promise<void> {
  if ((task === undefined) !== (options.all === true)) {
    throw new ReachflowError('name one task, or give --all', {
      code: 'CHECKPOINT_TASK_INVALID',
      domain: 'user',
      hint: 'For example: reachflow checkpoint verify events/tenant-counts/0',
    });
  }
  const storage = storageOf(settings);
  try {
    const { namespace } = settings;
    const entries =
      task === undefined
        ? await allCheckpoints(storage, namespace)
        : await checkpointsOf(storage, parseTask(task, namespace));
    if (entries.length === 0) throw noCheckpoint(task ?? 'any task', storage);
    const broken: string[] = [];
    for (const entry of entries) {
      // Perhaps an upload under way: none is broken by that, and a restore passes it over.
      const problem = await problemWhenRead(storage, entry);
      line(verdictLine(entry, problem));
      if (problem !== undefined && entry.state !== 'incomplete') {
        broken.push(`${taskName(entry.identity)} ${entry.id}`);
      }
    }
    if (broken.length > 0) throw corrupted(broken, entries.length);
  } finally {
    storage.close();
  }
}

function corrupted(broken: readonly string[], of: number): ReachflowError {
  return new ReachflowError(
    `${broken.length} of ${of} checkpoints cannot be restored: ${broken.join(', ')}`,
    {
      code: 'CHECKPOINT_CORRUPT',
      domain: 'external',
      hint: 'A restore passes them over for an older one, or the changelog; they go when newer ones are written. See to the storage.',
    },
  );
}

function noCheckpoint(what: string, storage: CheckpointStorage): ReachflowError {
  return new ReachflowError(`there is no checkpoint of ${what} in ${storage.location}`, {
    code: 'CHECKPOINT_NOT_FOUND',
    domain: 'user',
    hint: '`reachflow checkpoint list` shows what there is.',
  });
}

/** @throws ReachflowError `STATE_LOCKED` while a process has a task's state open. */
async function checkUnused(dir: string): Promise<void> {
  if (!existsSync(dir)) return;
  const lock = await lockDirectory(dir);
  await lock.release();
}

async function restore(
  settings: CheckpointSettings,
  task: string,
  options: RestoreOptions,
): Promise<void> {
  const identity = parseTask(task, settings.namespace);
  const own = resolve(stateDirectory(settings.stateDir, identity));
  const target = options.to === undefined ? own : resolve(options.to);
  const storage = storageOf(settings);
  const bar = progressBar(taskName(identity));
  const { checkpoint: id } = options;
  try {
    await checkUnused(target);
    const manifest = await restoreCheckpoint(storage, identity, target, {
      id,
      onProgress: bar.show,
      onSkipped: (skipped) => reportSkipped(skipped, id),
      // Only a task's own directory gives way; what else somebody names is not ours to remove.
      ...(target === own ? { makeRoom: () => removeState(target) } : {}),
    });
    bar.end();
    if (manifest === undefined) {
      throw noCheckpoint(
        id === undefined ? `${task} that is sound` : `${task} ${id} that is sound`,
        storage,
      );
    }
    const { changelogOffset, bytes } = manifest;
    line(
      `restored ${task} at changelog offset ${changelogOffset}, ${formatBytes(bytes)}, into ${target}`,
    );
    line(
      target === own
        ? `When the task starts on this machine, it reads its changelog from offset ${changelogOffset} on, and goes on from there.`
        : 'No task uses it there: it is a copy to look at, or to move.',
    );
  } finally {
    bar.end();
    storage.close();
  }
}

function reportSkipped({ entry, reason }: SkippedCheckpoint, id: string | undefined): void {
  if (id !== undefined && entry.id !== id) return;
  note(`passed over ${entry.id}: ${errorMessage(reason)}`);
}

/** `reachflow checkpoint`. @param load reads the configuration; tests give their own. */
export function checkpointCommand(load: LoadSettings = loadSettings): Command {
  const checkpoint = new Command('checkpoint').description(
    "saved copies of the tasks' state: what there is, whether it is sound, and back into place",
  );
  checkpoint
    .command('list')
    .description('checkpoints by task, the newest first')
    .option('--pipeline <name>', 'only those of this pipeline')
    .option('--json', 'one JSON object a line')
    .option('--config <file>', 'configuration file')
    .addHelpText(
      'after',
      '\nExamples:\n  reachflow checkpoint list\n  reachflow checkpoint list --pipeline events --json\n',
    )
    .action(async (options: ListOptions) => list(await load(options.config), options));
  checkpoint
    .command('verify')
    .description('read checkpoints whole, and compare hashes; exit code 1 when one is corrupt')
    .argument('[task]', '<pipeline>/<subtopology>/<partition>')
    .option('--all', 'those of all tasks')
    .option('--config <file>', 'configuration file')
    .addHelpText(
      'after',
      '\nExamples:\n  reachflow checkpoint verify events/tenant-counts/0\n  reachflow checkpoint verify --all\n',
    )
    .action(async (task: string | undefined, options: VerifyOptions) =>
      verify(await load(options.config), task, options),
    );
  checkpoint
    .command('restore')
    .description(
      "place a checkpoint into a task's local state directory, in place of what is there",
    )
    .argument('<task>', '<pipeline>/<subtopology>/<partition>')
    .option('--checkpoint <id>', 'this one; default: the newest that is sound')
    .option('--to <dir>', "into this directory instead of the task's own")
    .option('--config <file>', 'configuration file')
    .addHelpText(
      'after',
      '\nTasks restore by themselves when their state is lost; this is for taking a state back by hand.\nThe task must not be running on this machine.\n\nExamples:\n  reachflow checkpoint restore events/tenant-counts/0\n  reachflow checkpoint restore events/tenant-counts/0 --to /tmp/look\n',
    )
    .action(async (task: string, options: RestoreOptions) =>
      restore(await load(options.config), task, options),
    );
  return checkpoint;
}
