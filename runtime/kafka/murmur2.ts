const SEED = 0x9747b28c | 0;
const M = 0x5bd1e995;

/**
 * Murmur2 of the bytes as Kafka's Java client computes it (`Utils.murmur2`): a signed 32-bit integer. Partitions
 * chosen by it agree with those of every client that has Java's default.
 */
export function murmur2(bytes: Uint8Array, length = bytes.length): number {
  let h = SEED ^ length;
  const whole = length & ~3;
  for (let i = 0; i < whole; i += 4) {
    const word =
      (bytes[i] ?? 0) |
      ((bytes[i + 1] ?? 0) << 8) |
      ((bytes[i + 2] ?? 0) << 16) |
      ((bytes[i + 3] ?? 0) << 24);
    let k = Math.imul(word, M);
    k ^= k >>> 24;
    h = Math.imul(h, M) ^ Math.imul(k, M);
  }
  const rest = length - whole;
  if (rest > 0) {
    if (rest === 3) h ^= (bytes[whole + 2] ?? 0) << 16;
    if (rest >= 2) h ^= (bytes[whole + 1] ?? 0) << 8;
    h = Math.imul(h ^ (bytes[whole] ?? 0), M);
  }
  h ^= h >>> 13;
  h = Math.imul(h, M);
  return h ^ (h >>> 15);
}

const scratch = Buffer.allocUnsafeSlow(1_024);

/** Partition of a key among `partitions`, as Java's default partitioner chooses it; text counts as UTF-8. */
export function partitionOfKey(key: Buffer | string, partitions: number): number {
  return (hash(key) & 0x7fffffff) % partitions;
}

function hash(key: Buffer | string): number {
  if (typeof key !== 'string') return murmur2(key);
  const { length } = key;
  if (length > scratch.length) return murmur2(Buffer.from(key));
  for (let i = 0; i < length; i += 1) {
    const code = key.charCodeAt(i);
    if (code > 0x7f) return murmur2(Buffer.from(key));
    scratch[i] = code;
  }
  return murmur2(scratch, length);
}
