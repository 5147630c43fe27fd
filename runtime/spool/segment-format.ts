import { crc32c } from '@node-rs/crc32';

/**
 * A segment is groups, one for each fsync; a group is a header and its records.
 *
 *     group   magic "RFSG" · body bytes · index of the first record · records   uint32 BE each
 *             id of the segment (8 bytes) · CRC-32C of what is before           28 bytes in all
 *     record  CRC-32C of what follows · bytes · index (uint32 BE each) · payload
 *
 * A group is written only after the one before it is on disk. So what is broken before a whole group was damaged later,
 * and only what is missing at the end can be the trace of a crash.
 */

const MAGIC = Buffer.from('RFSG');
const ID_AT = 16;
const CRC_AT = 24;
/** Bytes before the first record of a group. */
export const GROUP_HEADER_BYTES = 28;
/** Bytes before the payload of a record. */
export const RECORD_HEADER_BYTES = 12;
/** Bytes of a segment's id, which is hexadecimal in its file's name. */
export const SEGMENT_ID_BYTES = 8;

/** A record of a segment; its payload is a view of what was parsed. */
export interface StoredRecord {
  /** Position in the segment: 0 for its first record. */
  readonly index: number;
  readonly payload: Buffer;
}

/** Bytes [from, to) of a segment that hold no intact record. */
export interface Damage {
  readonly from: number;
  readonly to: number;
}

export interface ParsedSegment {
  /** All that are intact, in order. Indexes have gaps where records are damaged. */
  readonly records: readonly StoredRecord[];
  /** The index behind the last record, damaged ones included as far as they are known. */
  readonly endIndex: number;
  /** Parts that were whole once. */
  readonly damage: readonly Damage[];
  /** Bytes at the end that a crash left of a write which nobody was told had succeeded. */
  readonly tornBytes: number;
}

/** Encodes records as one group. @param id of the segment. @param firstIndex of the first record. */
export function encodeGroup(id: Buffer, firstIndex: number, payloads: readonly Buffer[]): Buffer {
  let body = 0;
  for (const { length } of payloads) body += RECORD_HEADER_BYTES + length;
  const group = Buffer.allocUnsafe(GROUP_HEADER_BYTES + body);
  MAGIC.copy(group);
  group.writeUInt32BE(body, 4);
  group.writeUInt32BE(firstIndex, 8);
  group.writeUInt32BE(payloads.length, 12);
  id.copy(group, ID_AT);
  group.writeUInt32BE(crc32c(group.subarray(0, CRC_AT)), CRC_AT);
  let at = GROUP_HEADER_BYTES;
  for (const [i, payload] of payloads.entries()) {
    const end = at + RECORD_HEADER_BYTES + payload.length;
    group.writeUInt32BE(payload.length, at + 4);
    group.writeUInt32BE(firstIndex + i, at + 8);
    payload.copy(group, at + RECORD_HEADER_BYTES);
    group.writeUInt32BE(crc32c(group.subarray(at + 4, end)), at);
    at = end;
  }
  return group;
}

/** Finds the intact records of a segment, whatever happened to it. Never throws. */
export function parseSegment(id: Buffer, bytes: Buffer): ParsedSegment {
  const records: StoredRecord[] = [];
  const damage: Damage[] = [];
  let endIndex = 0;
  let at = 0;
  while (at < bytes.length) {
    const group = groupAt(id, bytes, at);
    if (group === undefined) {
      const next = nextGroup(id, bytes, at + 1);
      if (next < 0) break;
      damage.push({ from: at, to: next });
      at = next;
      continue;
    }
    // Bytes may be missing in it: the next one begins earlier than it should.
    const next = nextGroup(id, bytes, at + 1);
    if (next < 0 && group.end > bytes.length) break;
    endIndex = Math.max(endIndex, group.firstIndex + group.count);
    const end = next < 0 ? group.end : Math.min(group.end, next);
    at = readGroup(bytes, { ...group, end }, records, damage);
  }
  if (at < bytes.length && !isTorn(id, bytes, at)) {
    damage.push({ from: at, to: bytes.length });
    at = bytes.length;
  }
  return { records, endIndex, damage, tornBytes: bytes.length - at };
}

interface Group {
  readonly from: number;
  readonly end: number;
  readonly firstIndex: number;
  readonly count: number;
}

function groupAt(id: Buffer, bytes: Buffer, at: number): Group | undefined {
  const from = at + GROUP_HEADER_BYTES;
  if (from > bytes.length || MAGIC.compare(bytes, at, at + MAGIC.length) !== 0) return undefined;
  if (id.compare(bytes, at + ID_AT, at + CRC_AT) !== 0) return undefined;
  if (crc32c(bytes.subarray(at, at + CRC_AT)) !== bytes.readUInt32BE(at + CRC_AT)) return undefined;
  return {
    from,
    end: from + bytes.readUInt32BE(at + 4),
    firstIndex: bytes.readUInt32BE(at + 8),
    count: bytes.readUInt32BE(at + 12),
  };
}

/** Where the next group begins, -1 if nowhere. */
function nextGroup(id: Buffer, bytes: Buffer, from: number): number {
  let at = bytes.indexOf(MAGIC, from);
  while (at >= 0 && groupAt(id, bytes, at) === undefined) at = bytes.indexOf(MAGIC, at + 1);
  return at;
}

/**
 * Adds a group's intact records and what is damaged; returns the group's end. A length is believed where it leads to a
 * whole record.
 */
function readGroup(
  bytes: Buffer,
  { from, end }: Group,
  records: StoredRecord[],
  damage: Damage[],
): number {
  for (let at = from; at < end; ) {
    const recordEnd = recordEndAt(bytes, at, end) ?? end;
    if (recordEnd - at >= RECORD_HEADER_BYTES && isIntact(bytes, at, recordEnd)) {
      const index = bytes.readUInt32BE(at + 8);
      records.push({ index, payload: bytes.subarray(at + RECORD_HEADER_BYTES, recordEnd) });
      at = recordEnd;
      continue;
    }
    const following = recordEndAt(bytes, recordEnd, end);
    const isFramed = following !== undefined && isIntact(bytes, recordEnd, following);
    const to = isFramed ? recordEnd : end;
    damage.push({ from: at, to });
    at = to;
  }
  return end;
}

function recordEndAt(bytes: Buffer, at: number, end: number): number | undefined {
  if (at + RECORD_HEADER_BYTES > end) return undefined;
  const recordEnd = at + RECORD_HEADER_BYTES + bytes.readUInt32BE(at + 4);
  return recordEnd > end ? undefined : recordEnd;
}

function isIntact(bytes: Buffer, at: number, end: number): boolean {
  return crc32c(bytes.subarray(at + 4, end)) === bytes.readUInt32BE(at);
}

/** What is missing its end, or was allocated and never written, is a write that a crash interrupted. */
function isTorn(id: Buffer, bytes: Buffer, at: number): boolean {
  const group = groupAt(id, bytes, at);
  if (group !== undefined) return group.end > bytes.length;
  const rest = bytes.subarray(at);
  if (rest.every((byte) => byte === 0)) return true;
  // A header that is short is torn where it is the beginning of one.
  const begun = Math.min(rest.length, MAGIC.length);
  return rest.length < GROUP_HEADER_BYTES && MAGIC.compare(rest, 0, begun, 0, begun) === 0;
}
