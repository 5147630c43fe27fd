import { crc32 } from 'node:zlib';
import { DamagedFile } from './lmdb-file.ts';

/**
 * A run: entries in order of keys, written once, never changed.
 *
 *     blocks   entries, each: key length u16, value length u32, key, value
 *     filter   words of a blocked Bloom filter of all keys
 *     index    of each block: length u32, CRC-32 u32, length u16 of its first key, that key
 *     footer   `FOOTER_BYTES`, as below
 *
 * Numbers are little-endian. Each part has its CRC-32, so that nothing that was damaged is used.
 */
export const ENTRY_HEADER_BYTES = 6;
export const INDEX_HEADER_BYTES = 10;
export const FOOTER_BYTES = 48;
const MAGIC = 0x314e_5552;

/** What the last bytes of a run say. */
export interface Footer {
  readonly entries: number;
  readonly blocks: number;
  readonly blockBytes: number;
  readonly filterBytes: number;
  readonly indexBytes: number;
  readonly filterCrc: number;
  readonly indexCrc: number;
}

export function encodeFooter(footer: Footer): Buffer {
  const bytes = Buffer.alloc(FOOTER_BYTES);
  bytes.writeUInt32LE(MAGIC, 0);
  bytes.writeUInt32LE(footer.entries, 4);
  bytes.writeUInt32LE(footer.blocks, 8);
  bytes.writeDoubleLE(footer.blockBytes, 12);
  bytes.writeDoubleLE(footer.filterBytes, 20);
  bytes.writeDoubleLE(footer.indexBytes, 28);
  bytes.writeUInt32LE(footer.filterCrc, 36);
  bytes.writeUInt32LE(footer.indexCrc, 40);
  bytes.writeUInt32LE(crc32(bytes.subarray(0, 44)), 44);
  return bytes;
}

/** @param fileBytes size of the file that ends in it. @throws DamagedFile when it is not what was written. */
export function decodeFooter(bytes: Buffer, fileBytes: number): Footer {
  const sound =
    bytes.length === FOOTER_BYTES &&
    bytes.readUInt32LE(0) === MAGIC &&
    bytes.readUInt32LE(44) === crc32(bytes.subarray(0, 44));
  if (!sound) throw new DamagedFile('a run has no proper end');
  const footer = {
    entries: bytes.readUInt32LE(4),
    blocks: bytes.readUInt32LE(8),
    blockBytes: bytes.readDoubleLE(12),
    filterBytes: bytes.readDoubleLE(20),
    indexBytes: bytes.readDoubleLE(28),
    filterCrc: bytes.readUInt32LE(36),
    indexCrc: bytes.readUInt32LE(40),
  };
  const { blockBytes, filterBytes, indexBytes } = footer;
  if (blockBytes + filterBytes + indexBytes + FOOTER_BYTES !== fileBytes)
    throw new DamagedFile(`a run has ${fileBytes} bytes, which its end does not say`);
  return footer;
}
