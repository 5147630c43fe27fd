import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DELIVERED, type RecordResult } from '../runtime/delivery/sink.ts';
import { ReachflowError } from '../runtime/errors.ts';
import { writeIsolating } from './isolate.ts';

const rejected: RecordResult = {
  status: 'rejected',
  error: new ReachflowError('bad', { code: 'BAD', domain: 'user' }),
};
const retry: RecordResult = {
  status: 'retry',
  of: 'store',
  error: new ReachflowError('away', { code: 'AWAY', domain: 'external', retry: 'backoff' }),
};

/** A store in which negative numbers are poison, which goes away after so many requests. */
function store(requests = Number.POSITIVE_INFINITY) {
  const written: number[] = [];
  let sent = 0;
  return {
    written,
    sent: () => sent,
    attempt: async (group: readonly number[]): Promise<RecordResult> => {
      if (sent++ >= requests) return retry;
      if (group.some((item) => item < 0)) return rejected;
      written.push(...group);
      return DELIVERED;
    },
  };
}

const statusOf = (results: readonly RecordResult[]) => results.map((result) => result.status);

describe('writeIsolating', () => {
  it('finds one poison item among 1,000 in about 2·log2(n) requests', async () => {
    const items = Array.from({ length: 1_000 }, (_, i) => (i === 617 ? -1 : i));
    const { attempt, written, sent } = store();
    const results = await writeIsolating([items], attempt);
    expect(statusOf(results).indexOf('rejected')).toBe(617);
    expect(statusOf(results).filter((status) => status === 'delivered')).toHaveLength(999);
    expect(written).toEqual(items.filter((item) => item >= 0));
    expect(sent()).toBeLessThanOrEqual(21);
  });

  it('delivers exactly the good ones, once and in order, in at most 2n−1 requests', async () => {
    const groups = fc.array(fc.array(fc.integer({ min: -3, max: 9 }), { maxLength: 20 }), {
      maxLength: 5,
    });
    await fc.assert(
      fc.asyncProperty(groups, async (given) => {
        const { attempt, written, sent } = store();
        const results = await writeIsolating(given, attempt);
        const items = given.flat();
        expect(statusOf(results)).toEqual(
          items.map((item) => (item < 0 ? 'rejected' : 'delivered')),
        );
        expect(written).toEqual(items.filter((item) => item >= 0));
        expect(sent()).toBeLessThanOrEqual(2 * items.length);
      }),
    );
  });

  it('finds an item that may be written later as it finds a poison one', async () => {
    const later = { ...retry, of: 'record' } as RecordResult;
    const { attempt } = store();
    const results = await writeIsolating([[1, 2, -1, 3]], async (group) => {
      const result = await attempt(group);
      return result === rejected ? later : result;
    });
    expect(results).toEqual([DELIVERED, DELIVERED, later, DELIVERED]);
  });

  it('stops sending when the store goes away, and says retry of all that was not settled', async () => {
    const groups = fc.array(fc.array(fc.integer({ min: -3, max: 9 }), { maxLength: 20 }), {
      maxLength: 5,
    });
    await fc.assert(
      fc.asyncProperty(groups, fc.nat(10), async (given, requests) => {
        const { attempt, written, sent } = store(requests);
        const results = await writeIsolating(given, attempt);
        const items = given.flat();
        expect(results).toHaveLength(items.length);
        expect(sent()).toBeLessThanOrEqual(requests + 1);
        const delivered = items.filter((_, i) => results[i]?.status === 'delivered');
        expect(delivered).toEqual(written);
        items.forEach((item, i) => {
          if (results[i]?.status === 'rejected') expect(item).toBeLessThan(0);
        });
      }),
    );
  });

  it('takes the results of a store that answers per item as they are', async () => {
    const results = await writeIsolating([[1, -1], [2]], async (group) =>
      group.map((item) => (item < 0 ? rejected : DELIVERED)),
    );
    expect(statusOf(results)).toEqual(['delivered', 'rejected', 'delivered']);
  });
});
