import { open } from 'node:fs/promises';
import { ReachflowError } from '../../../runtime/errors.ts';
import { truncated } from '../byte-source.ts';

/** What a ZIP file says of one of its entries. */
export interface ZipEntry {
  readonly name: string;
  readonly compressed: number;
  readonly bytes: number;
}

const END_SIGNATURE = 0x06054b50;
const ENTRY_SIGNATURE = 0x02014b50;
const END_BYTES = 22;
const ENTRY_BYTES = 46;
const MAX_COMMENT = 65_535;
const MAX_DIRECTORY = 1_048_576;

/**
 * The central directory (APPNOTE 6.3, 4.3.12). An entry of 4 GiB or more has 0xffffffff as its size.
 * @throws ReachflowError `FILE_TRUNCATED` where there is none, `FILE_MALFORMED`.
 */
export async function readZipDirectory(path: string): Promise<ZipEntry[]> {
  const handle = await open(path, 'r');
  try {
    const { size } = await handle.stat();
    const tail = Buffer.alloc(Math.min(size, END_BYTES + MAX_COMMENT));
    await handle.read(tail, 0, tail.length, size - tail.length);
    let end = tail.length - END_BYTES;
    while (end >= 0 && tail.readUInt32LE(end) !== END_SIGNATURE) end -= 1;
    if (end < 0) throw truncated(path);
    const bytes = tail.readUInt32LE(end + 12);
    const at = tail.readUInt32LE(end + 16);
    if (bytes > MAX_DIRECTORY || at + bytes > size) throw malformed(path);
    const directory = Buffer.alloc(bytes);
    await handle.read(directory, 0, bytes, at);
    return entriesOf(path, directory);
  } finally {
    await handle.close();
  }
}

function entriesOf(path: string, directory: Buffer): ZipEntry[] {
  const entries: ZipEntry[] = [];
  for (let at = 0; at + ENTRY_BYTES <= directory.length; ) {
    if (directory.readUInt32LE(at) !== ENTRY_SIGNATURE) throw malformed(path);
    const nameBytes = directory.readUInt16LE(at + 28);
    const rest = directory.readUInt16LE(at + 30) + directory.readUInt16LE(at + 32);
    entries.push({
      name: directory.toString('utf8', at + ENTRY_BYTES, at + ENTRY_BYTES + nameBytes),
      compressed: directory.readUInt32LE(at + 20),
      bytes: directory.readUInt32LE(at + 24),
    });
    at += ENTRY_BYTES + nameBytes + rest;
  }
  return entries;
}

function malformed(path: string): ReachflowError {
  return new ReachflowError(`${path} is a broken ZIP file`, {
    code: 'FILE_MALFORMED',
    domain: 'user',
    hint: 'Open it, and save it again.',
  });
}
