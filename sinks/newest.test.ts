import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DELIVERED, type RecordResult } from '../runtime/delivery/sink.ts';
import { ReachflowError } from '../runtime/errors.ts';
import { type Versioned, writeNewest } from './newest.ts';

const rejected: RecordResult = {
  status: 'rejected',
  error: new ReachflowError('bad', { code: 'BAD', domain: 'user' }),
};

interface Row extends Versioned {
  readonly poison: boolean;
}

const row = (key: string, version: number, poison = false): Row => ({
  key,
  version: BigInt(version),
  poison,
});

const rowsOf = fc.array(
  fc.record({
    key: fc.constantFrom('a', 'b', 'c'),
    version: fc.bigInt({ min: 0n, max: 9n }),
    poison: fc.boolean(),
  }),
  { maxLength: 30 },
);

describe('writeNewest', () => {
  it('writes one row per key, the newest, and answers for the superseded ones too', async () => {
    const written: (readonly Row[])[] = [];
    const results = await writeNewest(
      [row('a', 1), row('b', 7), row('a', 3), row('a', 2)],
      async (rows) => {
        written.push(rows);
        return rows.map(() => DELIVERED);
      },
    );
    expect(written).toEqual([[row('a', 3), row('b', 7)]]);
    expect(results).toEqual([DELIVERED, DELIVERED, DELIVERED, DELIVERED]);
  });

  it('leaves each key at its newest good version, in requests without repeated keys', async () => {
    await fc.assert(
      fc.asyncProperty(rowsOf, async (rows) => {
        const stored = new Map<string, Row>();
        const results = await writeNewest<Row>(rows, async (heads) => {
          expect(new Set(heads.map((head) => head.key)).size).toBe(heads.length);
          return heads.map((head) => {
            if (head.poison) return rejected;
            expect(stored.has(head.key)).toBe(false);
            stored.set(head.key, head);
            return DELIVERED;
          });
        });
        expect(results).toHaveLength(rows.length);
        for (const key of new Set(rows.map((one) => one.key))) {
          const good = rows.filter((one) => one.key === key && !one.poison);
          const newest = good.reduce<Row | undefined>(
            (best, one) => (best === undefined || one.version > best.version ? one : best),
            undefined,
          );
          expect(stored.get(key)).toBe(newest);
        }
        rows.forEach((one, i) => {
          if (!one.poison) expect(results[i]?.status).toBe('delivered');
        });
      }),
    );
  });
});
