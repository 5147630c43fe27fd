import { hash } from 'node:crypto';
import { LeafHasher } from '../../history/leaf.ts';
import { Frontier } from '../../history/merkle/frontier.ts';
import { LazyRecord } from '../../runtime/kafka/lazy-record.ts';
import { sizeOfVarint, VarintReader, writeVarint } from '../../runtime/kafka/varint.ts';

/**
 * How fast a partition's tree is computed, one core, without Kafka: MB of keys, values and headers per
 * CPU second, and as a share
 * of one plain SHA-256 over the same bytes. `node benchmarks/history/hashing.ts`
 */
const TOTAL_BYTES = 64 * 1_048_576;
const ROUNDS = 5;

function record(valueBytes: number): Buffer {
  const parts = [Buffer.alloc(20, 'k'), Buffer.alloc(valueBytes, 'v')].flatMap((bytes) => {
    const length = Buffer.alloc(sizeOfVarint(bytes.length));
    writeVarint(length, 0, bytes.length);
    return [length, bytes];
  });
  return Buffer.concat([...parts, Buffer.of(0)]);
}

function best(work: () => void): number {
  const times = Array.from({ length: ROUNDS }, () => {
    // CPU time: what others do on the machine is not ours.
    const began = process.cpuUsage();
    work();
    const { user, system } = process.cpuUsage(began);
    return (user + system) / 1_000;
  });
  return Math.min(...times);
}

for (const valueBytes of [180, 500, 1_000, 4_000]) {
  const one = record(valueBytes);
  const count = Math.floor(TOTAL_BYTES / one.length);
  const all = Buffer.alloc(count * one.length, one);
  const plainMs = best(() => void hash('sha256', all, 'hex'));
  const treeMs = best(() => {
    const [hasher, tree] = [new LeafHasher(), new Frontier()];
    for (let i = 0; i < count; i += 1) {
      const from = i * one.length;
      const at = new VarintReader(all, from);
      tree.append(hasher.hash(new LazyRecord(at, BigInt(i), 1_700_000_000_000, from + one.length)));
    }
    tree.root();
  });
  const rate = (ms: number) => Math.round(all.length / 1_000 / ms);
  const line = {
    valueBytes,
    recordMBs: rate(treeMs),
    plainMBs: rate(plainMs),
    share: Number((plainMs / treeMs).toFixed(2)),
  };
  process.stdout.write(`${JSON.stringify(line)}\n`);
}
