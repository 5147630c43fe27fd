import { createLogUpdate } from 'log-update';
import { type CheckpointEntry, problemOf } from '../runtime/checkpoint/catalog.ts';
import { taskName } from '../runtime/checkpoint/layout.ts';
import type { RestoreProgress } from '../runtime/checkpoint/restore.ts';
import { styled, table } from './output.ts';
import { age } from './status-view.ts';

const UNITS = ['KiB', 'MiB', 'GiB', 'TiB'] as const;

/** `1536` → `1.5 KiB`. */
export function formatBytes(bytes: number): string {
  let rest = bytes;
  let unit = 'B';
  for (const next of UNITS) {
    if (rest < 1_024) break;
    rest /= 1_024;
    unit = next;
  }
  return `${unit === 'B' || rest >= 100 ? Math.round(rest) : rest.toFixed(1)} ${unit}`;
}

/** A column a figure; what is not known is `–`. @param now ms. */
export function listTable(entries: readonly CheckpointEntry[], now: number): string {
  const head = ['task', 'offset', 'age', 'size', 'entries', 'state', 'checkpoint'];
  return table(
    head,
    entries.map((entry) => {
      const manifest = entry.state === 'complete' ? entry.manifest : undefined;
      return [
        taskName(entry.identity),
        String(entry.changelogOffset),
        age(now - (manifest?.createdAt ?? entry.modifiedMs)),
        formatBytes(manifest?.bytes ?? entry.bytes),
        manifest?.entries === undefined ? '–' : String(manifest.entries),
        entry.state === 'broken' ? styled('red', entry.state) : entry.state,
        entry.id,
      ];
    }),
  );
}

/** An entry for programs; offsets are text, as they can be larger than a number of JSON is exact. */
export function toJson(entry: CheckpointEntry): string {
  const { identity, id, changelogOffset, state, bytes, modifiedMs } = entry;
  const manifest = state === 'complete' ? entry.manifest : undefined;
  return JSON.stringify(
    {
      task: taskName(identity),
      ...identity,
      checkpoint: id,
      changelogOffset,
      state,
      bytes,
      writtenAt: new Date(manifest?.createdAt ?? modifiedMs).toISOString(),
      ...(manifest === undefined
        ? { problem: problemOf(entry) }
        : {
            epoch: manifest.epoch,
            entries: manifest.entries,
            backend: manifest.backend,
            watermark: manifest.watermark,
            inputOffsets: manifest.inputOffsets,
            durationMs: manifest.durationMs,
            files: manifest.files,
            versions: manifest.versions,
          }),
    },
    (_key, value: unknown) => (typeof value === 'bigint' ? String(value) : value),
  );
}

/** One line: which checkpoint, and whether it can be restored. */
export function verdictLine(entry: CheckpointEntry, problem: string | undefined): string {
  const name = `${taskName(entry.identity)} ${entry.id}`;
  if (problem === undefined)
    return `${styled('green', 'sound')}    ${name}  ${formatBytes(entry.bytes)}`;
  if (entry.state === 'incomplete')
    return `unfinished ${name}  is being written, or its writer ended`;
  return `${styled('red', 'corrupt')}  ${name}  ${problem}`;
}

export interface ProgressBar {
  readonly show: (progress: RestoreProgress) => void;
  /** Leaves what is on the screen. Idempotent. */
  readonly end: () => void;
}

const REDRAW_MS = 100;

/** How far a transfer is, redrawn on a terminal; nothing elsewhere. */
export function progressBar(
  label: string,
  stream: NodeJS.WriteStream = process.stderr,
): ProgressBar {
  if (!stream.isTTY) return { show: () => undefined, end: () => undefined };
  const redraw = createLogUpdate(stream);
  let drawn = 0;
  return {
    show({ bytes, totalBytes }) {
      const now = Date.now();
      if (now - drawn < REDRAW_MS && bytes < totalBytes) return;
      drawn = now;
      const share = totalBytes === 0 ? 100 : Math.floor((100 * bytes) / totalBytes);
      redraw(`${label}  ${share} %  ${formatBytes(bytes)} of ${formatBytes(totalBytes)}`);
    },
    end: () => redraw.clear(),
  };
}
