import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { TASK } from './fixtures.ts';
import { namespacePrefix, newCheckpointId, parseKey, sameTask, taskPrefix } from './layout.ts';
import { type CheckpointManifest, decodeManifest, encodeManifest } from './manifest.ts';

const id = newCheckpointId(7n);
const place = { identity: TASK, id, changelogOffset: 7n };
const manifest: CheckpointManifest = {
  identity: TASK,
  backend: 'lmdb',
  changelogOffset: 7n,
  epoch: 3,
  inputOffsets: { '10': 2n ** 62n, 'orders.received': 5n },
  watermark: 1_700_000_000_000,
  entries: 12,
  bytes: 5,
  files: [{ name: 'data.mdb', bytes: 5, sha256: 'a'.repeat(64) }],
  versions: { reachflow: '0.1.0', node: '24.0.0' },
  createdAt: 1_700_000_000_123,
  durationMs: 42,
};

/** A manifest with some fields changed, and a checksum that fits. */
function forged(changes: Record<string, unknown>): Buffer {
  const { checksum, ...body } = JSON.parse(encodeManifest(manifest).toString()) as Record<
    string,
    unknown
  >;
  const changed = { ...body, ...changes };
  const sum = createHash('sha256').update(JSON.stringify(changed)).digest('hex');
  expect(sum).not.toBe(checksum);
  return Buffer.from(JSON.stringify({ ...changed, checksum: sum }));
}

describe('manifest', () => {
  it('reads what it wrote', () => {
    expect(decodeManifest(encodeManifest(manifest), place)).toEqual(manifest);
    const sparse = {
      ...manifest,
      epoch: undefined,
      inputOffsets: undefined,
      watermark: undefined,
      entries: undefined,
    };
    expect(decodeManifest(encodeManifest(sparse), place)).toEqual(sparse);
    const early = { ...manifest, watermark: Number.NEGATIVE_INFINITY };
    expect(decodeManifest(encodeManifest(early), place).watermark).toBeUndefined();
  });

  it('refuses every change of a byte, and every cut', () => {
    const bytes = encodeManifest(manifest);
    const at = fc.nat(bytes.length - 2);
    fc.assert(
      fc.property(at, fc.integer({ min: 1, max: 255 }), (index, flip) => {
        const changed = Buffer.from(bytes);
        changed[index] = (changed[index] ?? 0) ^ flip;
        const text = changed.toString('utf8');
        let same = false;
        try {
          // White space between the fields may change as it likes.
          same = JSON.stringify(JSON.parse(text)) === JSON.stringify(JSON.parse(bytes.toString()));
        } catch {
          same = false;
        }
        if (same) return;
        expect(() => decodeManifest(changed, place)).toThrow(
          expect.objectContaining({ code: 'CHECKPOINT_CORRUPT' }),
        );
      }),
      { numRuns: 500 },
    );
    fc.assert(
      fc.property(at, (length) => {
        expect(() => decodeManifest(bytes.subarray(0, length), place)).toThrow(
          expect.objectContaining({ code: 'CHECKPOINT_CORRUPT' }),
        );
      }),
    );
  });

  it('tells a newer format from damage', () => {
    const newer = forged({ formatVersion: 2, somethingNew: true });
    expect(() => decodeManifest(newer, place)).toThrow(
      expect.objectContaining({ code: 'CHECKPOINT_FORMAT' }),
    );
  });

  it.each([
    { partition: 4 },
    { namespace: '' },
    { pipeline: 'other' },
    { subTopology: 'other' },
    { changelogOffset: '8' },
  ])('refuses what is of another task or offset: %o', (changes) => {
    expect(() => decodeManifest(forged(changes), place)).toThrow(
      expect.objectContaining({ code: 'CHECKPOINT_FOREIGN' }),
    );
  });

  it.each([
    { files: [] },
    { files: [{ name: '../data.mdb', bytes: 1, sha256: 'a'.repeat(64) }] },
    { files: [{ name: 'data.mdb', bytes: -1, sha256: 'a'.repeat(64) }] },
    { backend: 'rocksdb' },
    { changelogOffset: '-1' },
    { extra: 1 },
  ])('refuses what is no manifest: %o', (changes) => {
    expect(() => decodeManifest(forged(changes), place)).toThrow(
      expect.objectContaining({ code: 'CHECKPOINT_CORRUPT' }),
    );
  });
});

describe('layout', () => {
  it('keeps names apart, and within their place', () => {
    const name = fc.oneof(
      fc.string({ minLength: 1, unit: 'grapheme' }).filter((text) => text.isWellFormed()),
      fc.constantFrom('_', '..', '.', 'a/b', '%5F', 'a.b', 'a%2Fb'),
    );
    const task = fc.record({
      namespace: fc.oneof(fc.constant(''), name),
      pipeline: name,
      subTopology: name,
      partition: fc.nat(1_000),
    });
    fc.assert(
      fc.property(task, task, fc.bigInt({ min: 0n, max: 2n ** 63n }), (one, other, offset) => {
        const checkpoint = newCheckpointId(offset);
        const key = `${taskPrefix(one)}${checkpoint}/data.mdb`;
        expect(parseKey(key)).toEqual({
          place: { identity: one, id: checkpoint, changelogOffset: offset },
          file: 'data.mdb',
        });
        expect(taskPrefix(one).split('/')).toHaveLength(5);
        expect(taskPrefix(one)).toMatch(/^[A-Za-z0-9_%-]+(\/[A-Za-z0-9_%-]+){3}\/$/);
        expect(sameTask(one, other)).toBe(JSON.stringify(one) === JSON.stringify(other));
      }),
    );
    expect(namespacePrefix('')).toBe('_/');
  });

  it('sorts ids by offset', () => {
    const offsets = [0n, 9n, 10n, 99n, 2n ** 40n, 2n ** 62n];
    const ids = offsets.map(newCheckpointId);
    expect([...ids].sort()).toEqual(ids);
  });

  it.each([
    '',
    'a',
    '_/p/s/0/x/data.mdb',
    '_/p/s/x/00000000000000000001-00000000/f',
    '_/p/s/0/manifest.json',
  ])('knows what is no part of a checkpoint: %s', (key) => {
    expect(parseKey(key)).toBeUndefined();
  });
});
