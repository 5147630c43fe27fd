import { createReadStream } from 'node:fs';
import { type FileHandle, open, stat } from 'node:fs/promises';
import { TextDecoder } from 'node:util';
import { createGunzip } from 'node:zlib';
import { errorCode, ReachflowError } from '../../runtime/errors.ts';
import { type DetectedEncoding, detectEncoding, type Encoding, SAMPLE_BYTES } from './encoding.ts';

/** The text of a file as UTF-8, read forwards. */
export interface ByteSource {
  /** Fills `into` from `at` on; returns the bytes read, 0 at the end. @throws ReachflowError `FILE_TRUNCATED`, `FILE_UNREADABLE`. */
  read(into: Buffer, at: number): Promise<number>;
  close(): Promise<void>;
}

const READ_BYTES = 262_144;

/** Whether a file begins as gzip does (RFC 1952). */
export function isGzip(head: Buffer): boolean {
  return head[0] === 0x1f && head[1] === 0x8b;
}

/** The first bytes of a file, uncompressed. @throws ReachflowError `FILE_TRUNCATED`, `FILE_UNREADABLE`. */
export async function readHead(path: string, bytes: number, gzip: boolean): Promise<Buffer> {
  const source = gzip ? new StreamSource(path, undefined) : await PlainSource.open(path, 0);
  const into = Buffer.alloc(bytes);
  let length = 0;
  try {
    for (;;) {
      const more = length < bytes ? await source.read(into, length) : 0;
      if (more === 0) return into.subarray(0, length);
      length += more;
    }
  } finally {
    await source.close();
  }
}

export interface TextFile {
  readonly path: string;
  readonly gzip: boolean;
  readonly detected: DetectedEncoding;
  /** Of the text as UTF-8; undefined where only reading it would tell. */
  readonly textBytes: number | undefined;
}

/** @param encoding as the map says; detected when undefined. @throws as `readHead`. */
export async function describeText(
  path: string,
  gzip: boolean,
  encoding: Encoding | undefined,
): Promise<TextFile> {
  const found = detectEncoding(await readHead(path, SAMPLE_BYTES, gzip));
  const detected =
    encoding === undefined || encoding === found.encoding ? found : { encoding, bomBytes: 0 };
  const isPlain = !gzip && detected.encoding === 'utf-8';
  const textBytes = isPlain ? (await stat(path)).size - detected.bomBytes : undefined;
  return { path, gzip, detected, textBytes };
}

/**
 * The file's text as UTF-8, without byte order mark, from byte `from` of that text on. Only plain UTF-8 can be
 * entered in the middle: of other files what comes before is read and dropped.
 * @throws ReachflowError `FILE_UNREADABLE`.
 */
export async function openText(file: TextFile, from: number): Promise<ByteSource> {
  const { encoding, bomBytes } = file.detected;
  if (!file.gzip && encoding === 'utf-8') return PlainSource.open(file.path, from + bomBytes);
  const source = new StreamSource(file.path, file.detected, file.gzip);
  const scratch = Buffer.allocUnsafe(READ_BYTES);
  for (let left = from; left > 0; ) {
    const read = await source.read(scratch.subarray(0, Math.min(left, READ_BYTES)), 0);
    if (read === 0) break;
    left -= read;
  }
  return source;
}

class PlainSource implements ByteSource {
  readonly #handle: FileHandle;
  #at: number;

  private constructor(handle: FileHandle, from: number) {
    this.#handle = handle;
    this.#at = from;
  }

  static async open(path: string, from: number): Promise<PlainSource> {
    try {
      return new PlainSource(await open(path, 'r'), from);
    } catch (error) {
      throw unreadable(path, error);
    }
  }

  async read(into: Buffer, at: number): Promise<number> {
    const length = Math.min(into.length - at, READ_BYTES * 4);
    const { bytesRead } = await this.#handle.read(into, at, length, this.#at);
    this.#at += bytesRead;
    return bytesRead;
  }

  async close(): Promise<void> {
    await this.#handle.close();
  }
}

/** Decompresses and decodes on the way. */
class StreamSource implements ByteSource {
  readonly #path: string;
  readonly #chunks: AsyncIterator<Buffer>;
  readonly #decoder: TextDecoder | undefined;
  #bom: number;
  #chunk: Buffer = Buffer.alloc(0);
  #at = 0;
  #ended = false;
  readonly #close: () => void;

  constructor(path: string, detected: DetectedEncoding | undefined, gzip = true) {
    this.#path = path;
    const file = createReadStream(path, { highWaterMark: READ_BYTES });
    const out = gzip ? file.pipe(createGunzip({ chunkSize: READ_BYTES })) : file;
    if (gzip) file.on('error', (error) => out.destroy(error));
    this.#chunks = out[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
    this.#close = () => {
      file.destroy();
      out.destroy();
    };
    this.#bom = detected?.bomBytes ?? 0;
    this.#decoder =
      detected === undefined || detected.encoding === 'utf-8'
        ? undefined
        : new TextDecoder(detected.encoding, { ignoreBOM: true });
  }

  async read(into: Buffer, at: number): Promise<number> {
    // A chunk may decode to nothing: half a character, a byte order mark.
    while (this.#at === this.#chunk.length && !this.#ended) await this.#next();
    const copied = this.#chunk.copy(into, at, this.#at);
    this.#at += copied;
    return copied;
  }

  async #next(): Promise<void> {
    this.#at = 0;
    let step: IteratorResult<Buffer>;
    try {
      step = await this.#chunks.next();
    } catch (error) {
      throw errorCode(error) === 'Z_BUF_ERROR'
        ? truncated(this.#path, error)
        : unreadable(this.#path, error);
    }
    this.#ended = step.done === true;
    let bytes = step.done === true ? Buffer.alloc(0) : step.value;
    const skipped = Math.min(this.#bom, bytes.length);
    this.#bom -= skipped;
    if (skipped > 0) bytes = bytes.subarray(skipped);
    this.#chunk =
      this.#decoder === undefined
        ? bytes
        : Buffer.from(this.#decoder.decode(bytes, { stream: !this.#ended }));
  }

  close(): Promise<void> {
    this.#close();
    return Promise.resolve();
  }
}

/** The file ends in the middle of what it began. */
export function truncated(path: string, cause?: unknown): ReachflowError {
  return new ReachflowError(`${path} ends too early: it was cut off`, {
    code: 'FILE_TRUNCATED',
    domain: 'user',
    hint: 'Copy or upload it again, whole.',
    cause,
  });
}

/** The file cannot be read, or not as what it seems to be. */
export function unreadable(path: string, cause: unknown): ReachflowError {
  const missing = errorCode(cause) === 'ENOENT';
  return new ReachflowError(missing ? `there is no file ${path}` : `${path} cannot be read`, {
    code: 'FILE_UNREADABLE',
    domain: 'user',
    hint: 'Is it there, may it be read, and is it whole?',
    cause,
  });
}
