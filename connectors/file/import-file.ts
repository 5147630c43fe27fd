import { mkdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { backoffMs } from '../../runtime/backoff.ts';
import { ReachflowError } from '../../runtime/errors.ts';
import { PositionedProducer } from '../../runtime/kafka/positioned-producer.ts';
import { topicLimits } from '../../runtime/kafka/topic-settings.ts';
import { lockDirectory } from '../../runtime/state/directory-lock.ts';
import { applyTopicPlan, planTopics } from '../../runtime/topic-plan.ts';
import { type FileStamp, importIdOf, stampOf } from './identity.ts';
import type { ImportDeps, ImportOptions, ImportResult } from './import-options.ts';
import { runImport } from './import-run.ts';
import { fromPosition, IMPORTS_TOPIC, readImports } from './import-state.ts';

const MAX_ATTEMPTS = 1_000;
/** Failures in a row that pass, without a row in between, before the import gives up. */
const MAX_FAILURES = 8;

/** Creates the topics that imports fill, and registers their schemas. @throws ReachflowError. */
export async function prepareImports({ client, codec }: ImportDeps): Promise<void> {
  const wanted: readonly string[] = ['file.row.received', 'webhook.received', IMPORTS_TOPIC];
  const plans = planTopics([], [], client.config.partitions);
  await applyTopicPlan(
    client,
    [],
    plans.filter(({ name }) => wanted.includes(name)),
  );
  await codec.register(['file.row.received', 'webhook.received', IMPORTS_TOPIC]);
}

/**
 * Imports a file, or the rest of it: each row exactly once, whenever and however often a process was killed. The same
 * content by the same map is the same import. `prepareImports` comes before.
 * @throws ReachflowError `FILE_*`, `MAP_COLUMNS`, `TOO_MANY_REJECTS`, `IMPORT_STOPPED` (by the signal), `STATE_LOCKED` while
 *   another process of this host imports it, `FENCED` when another one took over, and what Kafka's producer throws.
 */
export async function importFile(deps: ImportDeps, options: ImportOptions): Promise<ImportResult> {
  const stamp = await stampOf(options.path);
  const { importId, finished } = await identify(deps, options, stamp);
  const directory = join(options.directory, importId);
  const rejectsPath = join(directory, 'rejects.ndjson');
  if (finished !== undefined) {
    const { rows, rejected } = finished;
    const fileBytes = stamp.bytes;
    return {
      importId,
      outcome: 'already',
      rows,
      rejected,
      fileBytes,
      resumedAt: rows,
      rejectsPath,
    };
  }
  await mkdir(directory, { recursive: true });
  const lock = await lockDirectory(directory);
  try {
    return await importWithRetries(deps, options, { stamp, importId, rejectsPath });
  } finally {
    await lock.release();
  }
}

interface Identified {
  readonly importId: string;
  readonly finished: { readonly rows: number; readonly rejected: number } | undefined;
}

async function identify(
  { client, codec }: ImportDeps,
  { map, again = false }: ImportOptions,
  stamp: FileStamp,
): Promise<Identified> {
  const known = await readImports(client, codec);
  for (let attempt = 1; attempt <= MAX_ATTEMPTS; attempt += 1) {
    const importId = importIdOf(stamp, map, attempt);
    const state = known.get(importId);
    if (state?.state !== 'finished') {
      if (attempt === 1 || again || state !== undefined) return { importId, finished: undefined };
      const last = importIdOf(stamp, map, attempt - 1);
      return { importId: last, finished: known.get(last) };
    }
  }
  throw new ReachflowError(`this file was imported ${MAX_ATTEMPTS} times already`, {
    code: 'FILE_LIMIT',
    domain: 'user',
    hint: 'Change its map, if that is meant.',
  });
}

interface Attempt {
  readonly stamp: FileStamp;
  readonly importId: string;
  readonly rejectsPath: string;
}

/** What passes is tried again from what is committed. */
async function importWithRetries(
  deps: ImportDeps,
  options: ImportOptions,
  attempt: Attempt,
): Promise<ImportResult> {
  let rows = -1;
  let resumedAt: number | undefined;
  for (let failures = 0; ; ) {
    const progress = { rows: 0 };
    try {
      const result = await importOnce(deps, options, attempt, (row) => {
        progress.rows = row;
      });
      return { ...result, resumedAt: resumedAt ?? result.resumedAt };
    } catch (error) {
      const passes = error instanceof ReachflowError && error.retry === 'backoff';
      failures = progress.rows > rows ? 1 : failures + 1;
      if (!passes || failures > MAX_FAILURES || options.signal?.aborted === true) throw error;
      deps.logger.warn({ error, importId: attempt.importId }, 'import interrupted, going on');
      rows = Math.max(rows, progress.rows);
      resumedAt ??= 0;
      await delay(backoffMs(failures, { initialMs: 200, maxMs: 5_000 }));
    }
  }
}

async function importOnce(
  { client, codec }: ImportDeps,
  options: ImportOptions,
  { stamp, importId, rejectsPath }: Attempt,
  onCommitted: (rows: number) => void,
): Promise<ImportResult> {
  const { map, path } = options;
  const limits = await topicLimits(client, [map.topic, IMPORTS_TOPIC]);
  const producer = await PositionedProducer.open(client, {
    name: `import.${importId}`,
    topic: IMPORTS_TOPIC,
    limits,
  });
  try {
    await producer.prepare([map.topic, IMPORTS_TOPIC]);
    const start = producer.start === undefined ? undefined : fromPosition(producer.start);
    const resumedAt = start?.position.rows ?? 0;
    const fileBytes = stamp.bytes;
    if (start?.finished === true) {
      const { rejected } = start;
      return {
        importId,
        outcome: 'already',
        rows: resumedAt,
        rejected,
        fileBytes,
        resumedAt,
        rejectsPath,
      };
    }
    const name = options.name ?? basename(path);
    const parts = { name, codec, producer, stamp, importId, rejectsPath, start, onCommitted };
    const { rows, rejected } = await runImport({ ...options, ...parts });
    return { importId, outcome: 'finished', rows, rejected, fileBytes, resumedAt, rejectsPath };
  } finally {
    await producer.close();
  }
}
