import { crc32 } from 'node:zlib';

/**
 * Where a subscriber is: the next offset of each partition of one topic. As text it is opaque to clients, the same for
 * SSE, WebSocket and long poll, and good at any instance. It authorises nothing: the token does.
 *
 * Layout, base64url: version 1, two bytes of the topic's CRC-32, then for each partition its next offset as a varint.
 */
export type Positions = readonly number[];

const VERSION = 1;
const MAX_PARTITIONS = 10_000;
const HEADER_BYTES = 3;

/** Offsets of several partitions as the text of a cursor, for a topic: its checksum is computed once. */
export function cursorEncoder(topic: string): (positions: Positions) => string {
  const checksum = crc32(topic) & 0xffff;
  let buffer = Buffer.alloc(256);
  return (positions) => {
    const most = HEADER_BYTES + positions.length * 8;
    if (buffer.length < most) buffer = Buffer.alloc(most * 2);
    buffer[0] = VERSION;
    buffer.writeUInt16BE(checksum, 1);
    let at = HEADER_BYTES;
    for (const position of positions) {
      let rest = position;
      while (rest >= 0x80) {
        buffer[at] = (rest % 0x80) | 0x80;
        rest = Math.floor(rest / 0x80);
        at += 1;
      }
      buffer[at] = rest;
      at += 1;
    }
    return buffer.toString('base64url', 0, at);
  };
}

/**
 * The positions of a cursor; undefined when it is none of this topic.
 * @param partitions of the topic now: those that were added since begin at 0.
 */
export function decodeCursor(
  topic: string,
  text: string,
  partitions: number,
): number[] | undefined {
  if (text.length > MAX_PARTITIONS * 11 || !/^[A-Za-z0-9_-]+$/.test(text)) return undefined;
  const bytes = Buffer.from(text, 'base64url');
  if (bytes.length < HEADER_BYTES || bytes[0] !== VERSION) return undefined;
  if (bytes.readUInt16BE(1) !== (crc32(topic) & 0xffff)) return undefined;
  const positions: number[] = [];
  let value = 0;
  let scale = 1;
  for (const byte of bytes.subarray(HEADER_BYTES)) {
    value += (byte & 0x7f) * scale;
    if (!Number.isSafeInteger(value)) return undefined;
    if (byte >= 0x80) {
      scale *= 0x80;
      continue;
    }
    positions.push(value);
    value = 0;
    scale = 1;
  }
  if (scale !== 1 || positions.length > partitions) return undefined;
  while (positions.length < partitions) positions.push(0);
  return positions;
}
