import { closeSync, fsyncSync, openSync, readFileSync, writeSync } from 'node:fs';
import { setImmediate } from 'node:timers/promises';
import { errorMessage } from '../errors.ts';
import type { ByteKey, Position, StateIdentity, StoreDescriptor } from './backend.ts';
import { readSegment, SegmentWriter } from './changelog.ts';
import { positionFromJson, positionToJson } from './position.ts';

/** Name of the only file of a snapshot of state in memory. */
export const SNAPSHOT_FILE = 'state.segments';

/** A snapshot that cannot be used. */
export class DamagedSnapshot extends Error {}

/** What a snapshot holds; `trees` as `stores`, in order of keys. */
export interface SnapshotContent {
  readonly identity: StateIdentity;
  readonly stores: readonly StoreDescriptor[];
  readonly trees: readonly { entries(): Iterable<[ByteKey, string]> }[];
  readonly position: Position | undefined;
}

interface Header {
  readonly identity: StateIdentity;
  readonly position: string | null;
}

const LENGTH_BYTES = 4;
/** Entries written between two turns of the event loop. */
const CHUNK = 5_000;

/**
 * Writes a snapshot: a header, then changelog segments, each after its length (u32, little-endian), then length 0.
 * Returns its size in bytes. What `content` holds must not change meanwhile.
 */
export async function writeSnapshot(path: string, content: SnapshotContent): Promise<number> {
  const { identity, stores, trees, position } = content;
  const file = openSync(path, 'w');
  try {
    const header: Header = {
      identity,
      position: position === undefined ? null : positionToJson(position).toString('utf8'),
    };
    let size = writeBlock(file, Buffer.from(JSON.stringify(header)));
    const writer = new SegmentWriter(stores);
    let epoch = 0;
    writer.begin(epoch);
    let inChunk = 0;
    const flush = () => {
      for (const segment of writer.finish()) size += writeBlock(file, segment);
      epoch += 1;
      writer.begin(epoch);
      inChunk = 0;
    };
    for (const [store, tree] of trees.entries()) {
      for (const [key, value] of tree.entries()) {
        const at = writer.reserve(store, key, value.length, undefined);
        writer.buffer.write(value, at, 'latin1');
        inChunk += 1;
        if (inChunk < CHUNK) continue;
        flush();
        await setImmediate();
      }
    }
    flush();
    size += writeBlock(file, Buffer.alloc(0));
    fsyncSync(file);
    return size;
  } finally {
    closeSync(file);
  }
}

function writeBlock(file: number, bytes: Buffer): number {
  const length = Buffer.alloc(LENGTH_BYTES);
  length.writeUInt32LE(bytes.length, 0);
  for (const part of [length, bytes]) {
    let at = 0;
    while (at < part.length) at += writeSync(file, part, at);
  }
  return LENGTH_BYTES + bytes.length;
}

/**
 * Reads a snapshot; entries of stores that are not declared, or in another version, are passed over. Returns its
 * position. @throws DamagedSnapshot, or what the file system throws.
 */
export function readSnapshot(
  path: string,
  identity: StateIdentity,
  stores: readonly StoreDescriptor[],
  onEntry: (store: number, key: ByteKey, bytes: Buffer, start: number, end: number) => void,
): Position | undefined {
  const blocks = blocksOf(readFileSync(path));
  const header = headerOf(blocks.shift());
  if (JSON.stringify(header.identity) !== JSON.stringify(identity))
    throw new DamagedSnapshot(`it is the state of ${JSON.stringify(header.identity)}`);
  for (const block of blocks) {
    const segment = parse(() => readSegment(block, SNAPSHOT_FILE));
    const indexes = segment.stores.map((found) =>
      stores.findIndex(({ name, version }) => name === found.name && version === found.version),
    );
    segment.forEach((store, key, bytes, start, end) => {
      const index = indexes[store] ?? -1;
      if (index >= 0) onEntry(index, key, bytes, start, end);
    });
  }
  return header.position === null ? undefined : positionFromJson(Buffer.from(header.position));
}

function blocksOf(bytes: Buffer): Buffer[] {
  const blocks: Buffer[] = [];
  let at = 0;
  while (at + LENGTH_BYTES <= bytes.length) {
    const length = bytes.readUInt32LE(at);
    at += LENGTH_BYTES;
    if (length === 0) return blocks;
    blocks.push(bytes.subarray(at, at + length));
    at += length;
  }
  throw new DamagedSnapshot('it is cut off');
}

function headerOf(bytes: Buffer | undefined): Header {
  if (bytes === undefined) throw new DamagedSnapshot('it is empty');
  return parse(() => JSON.parse(bytes.toString('utf8')) as Header);
}

function parse<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw new DamagedSnapshot(errorMessage(error));
  }
}
