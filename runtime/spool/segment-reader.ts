import { randomBytes } from 'node:crypto';
import { mkdir, open, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from 'pino';
import { errorCode } from '../errors.ts';
import { type ParsedSegment, parseSegment } from './segment-format.ts';
import { type SegmentName, segmentFile, syncDirectory } from './segment-writer.ts';

const DAMAGED = 'damaged';
const ID_FILE = 'id';
const ID = /^[0-9a-f]{16}$/;

/** Reads segments of a directory, and sets aside what is damaged in them. */
export class SegmentReader {
  readonly #dir: string;
  readonly #logger: Logger;
  readonly #reported = new Set<string>();
  #damagedBytes = 0;

  constructor(dir: string, logger: Logger) {
    this.#dir = dir;
    this.#logger = logger;
  }

  /** Bytes that were found damaged so far. */
  get damagedBytes(): number {
    return this.#damagedBytes;
  }

  /** @param bytes as many are to be trusted. @throws what the file system throws. */
  async read(name: SegmentName, bytes: number): Promise<ParsedSegment> {
    const file = segmentFile(name);
    const content = (await readFile(join(this.#dir, file))).subarray(0, bytes);
    const parsed = parseSegment(Buffer.from(name.id, 'hex'), content);
    for (const { from, to } of parsed.damage) await this.#setAside(file, from, content, to);
    return parsed;
  }

  /** Keeps damaged bytes for people in a file of their own: the segment goes once it is drained. */
  async #setAside(segment: string, from: number, content: Buffer, to: number): Promise<void> {
    const file = join(this.#dir, DAMAGED, `${segment}.${from}`);
    if (this.#reported.has(file)) return;
    this.#reported.add(file);
    this.#damagedBytes += to - from;
    await mkdir(join(this.#dir, DAMAGED), { recursive: true });
    await writeFile(file, content.subarray(from, to));
    this.#logger.error(
      { segment, from, to, file },
      'a spool segment is damaged: what can be read of it is delivered, the rest is set aside',
    );
  }
}

/** The id of a directory, made once. */
export async function readOwnId(dir: string): Promise<string> {
  const file = join(dir, ID_FILE);
  try {
    const known = (await readFile(file, 'utf8')).trim();
    if (ID.test(known)) return known;
  } catch (error) {
    if (errorCode(error) !== 'ENOENT') throw error;
  }
  const id = randomBytes(8).toString('hex');
  const handle = await open(`${file}.new`, 'w');
  try {
    await handle.writeFile(id);
    await handle.sync();
  } finally {
    await handle.close();
  }
  await rename(`${file}.new`, file);
  await syncDirectory(dir);
  return id;
}
