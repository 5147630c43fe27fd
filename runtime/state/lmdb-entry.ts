import type { ByteKey } from './backend.ts';

/** Key and value as LMDB has them: keys are never empty, and values end in a checksum of both. */
export const CHECKSUM_BYTES = 4;

/** LMDB takes no empty key, so it and keys that begin with a zero byte get one in front. Order is kept. */
export function writeKey(key: ByteKey, target: Buffer, offset: number): number {
  let at = offset;
  if (key.length === 0 || key.charCodeAt(0) === 0) target[at++] = 0;
  return at + target.write(key, at, 'latin1');
}

/** The key of `writeKey`. */
export function readKey(source: Buffer, start: number, end: number): ByteKey {
  return source.toString('latin1', source[start] === 0 ? start + 1 : start, end);
}

/** FNV-1a, 32 bits, of a key and its value: LMDB itself does not notice when a page of values was damaged. */
export function checksum(key: ByteKey, value: Buffer, start: number, end: number): number {
  let hash = 0x811c9dc5;
  for (let at = 0; at < key.length; at += 1)
    hash = Math.imul(hash ^ key.charCodeAt(at), 0x01000193);
  for (let at = start; at < end; at += 1) {
    hash = Math.imul(hash ^ (value[at] as number), 0x01000193);
  }
  return hash >>> 0;
}

/** Whether a stored value, checksum included, belongs to `key`. */
export function isIntact(key: ByteKey, stored: Buffer, length: number): boolean {
  const end = length - CHECKSUM_BYTES;
  return end >= 0 && stored.readUInt32LE(end) === checksum(key, stored, 0, end);
}

/** As `isIntact`, of a key and value as a file has them. */
export function isIntactAsStored(stored: ByteKey, value: Buffer): boolean {
  const key = stored.charCodeAt(0) === 0 ? stored.slice(1) : stored;
  return isIntact(key, value, value.length);
}
