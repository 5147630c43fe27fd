import type { LazyRecord } from '../runtime/kafka/lazy-record.ts';
import { type Hash, LEAF_PREFIX, leafHash } from './merkle/hash.ts';

const OFFSET_AT = 1;
const TIMESTAMP_AT = 9;
const RECORD_AT = 17;
const TWO_32 = 0x1_0000_0000;
/** Records of up to some KB are hashed in the same place; a larger one gets one of its own size, which then stays. */
const INITIAL_BYTES = 65_536;

/**
 * Hashes records as leaves of a partition's tree. A leaf is the record's offset and timestamp (8 bytes each, big-endian,
 * ms since the epoch) and its key, value and headers as Kafka's record format (version 2) has them: each with its length
 * as a varint, headers in their order with their count, duplicates and nulls included.
 *
 * Records and not batches, as a batch does not stay what it was: brokers and the log cleaner compress anew, split off
 * aborted neighbours and renumber deltas, and none of that alters a record.
 */
export class LeafHasher {
  #scratch = scratchOf(INITIAL_BYTES);

  hash(record: LazyRecord): Hash {
    const end = RECORD_AT + record.bytes;
    if (end > this.#scratch.length) this.#scratch = scratchOf(end);
    const scratch = this.#scratch;
    writeInt64(scratch, OFFSET_AT, Number(record.offset));
    writeInt64(scratch, TIMESTAMP_AT, record.timestamp);
    record.copyWire(scratch, RECORD_AT);
    return leafHash(scratch.subarray(0, end));
  }

  /** The bytes that `hash` hashes, for who checks it elsewhere: the prefix 0x00, then the leaf. */
  bytes(record: LazyRecord): Buffer {
    this.hash(record);
    return Buffer.from(this.#scratch.subarray(0, RECORD_AT + record.bytes));
  }
}

function scratchOf(bytes: number): Buffer {
  const scratch = Buffer.alloc(bytes);
  scratch[0] = LEAF_PREFIX;
  return scratch;
}

/** Two's complement; exact within ±2^53. */
function writeInt64(buffer: Buffer, at: number, value: number): void {
  const high = Math.floor(value / TWO_32);
  buffer.writeInt32BE(high, at);
  buffer.writeUInt32BE(value - high * TWO_32, at + 4);
}
