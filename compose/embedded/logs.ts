import { open, stat } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { lastLines } from './launch.ts';

const POLL_MS = 200;
const CHUNK_BYTES = 64 * 1024;

/** The last lines of a log file and, with `follow`, what is appended later, across a rotation. */
export async function* followLog(
  file: string,
  options: { readonly lines: number; readonly follow: boolean; readonly signal?: AbortSignal },
): AsyncGenerator<string> {
  let position = (await stat(file).catch(() => undefined))?.size ?? 0;
  yield* await lastLines(file, options.lines);
  let partial = '';
  while (options.follow && options.signal?.aborted !== true) {
    const size = (await stat(file).catch(() => undefined))?.size ?? 0;
    if (size < position) position = 0; // The file was rotated, or the stack was reset.
    if (size === position) {
      await sleep(POLL_MS);
      continue;
    }
    const chunk = await readChunk(file, position);
    position += chunk.length;
    const lines = (partial + chunk.toString('utf8')).split('\n');
    partial = lines.pop() ?? '';
    yield* lines;
  }
}

async function readChunk(file: string, position: number): Promise<Buffer> {
  const handle = await open(file);
  try {
    const { buffer, bytesRead } = await handle.read(
      Buffer.alloc(CHUNK_BYTES),
      0,
      CHUNK_BYTES,
      position,
    );
    return buffer.subarray(0, bytesRead);
  } finally {
    await handle.close();
  }
}
