import { describe, expect, it } from 'vitest';
import { Parking, type ParkingStart } from './parking.ts';
import { parseRetryMetadata, RETRY_SPAN } from './retry-position.ts';
import type { WaitingRecord } from './retry-record.ts';

const NOTHING: ParkingStart['found'] = { fences: [], plan: undefined, states: new Map() };
const DUE_LATER = 777;
const LIMITS = { records: 1_000_000, bytes: 1_000_000_000 };

function open(start: Partial<ParkingStart> = {}): Parking {
  const given = { from: 0n, end: 0n, found: NOTHING, epoch: 5, dueAfter: () => DUE_LATER };
  return new Parking(LIMITS, { ...given, ...start });
}

/** As its successor finds it. */
function reopen(parking: Parking, start: Partial<ParkingStart> = {}): Parking {
  const from = parking.position();
  const found = parseRetryMetadata(from, parking.metadata());
  return open({ from, found, end: parking.next, epoch: parking.epoch + 1, ...start });
}

function waiting(offset: number, origin = offset, of: Partial<WaitingRecord> = {}): WaitingRecord {
  const key = Buffer.from(`k${origin}`);
  const record = { offset: BigInt(origin), timestamp: 1, key, value: null, headers: {} };
  const own = { offset: BigInt(offset), sentAt: 1, due: 0, attempts: 1, firstFailure: 0 };
  return { record, epoch: undefined, ...own, ...of };
}

const offsets = (parking: Parking, now = 0) =>
  parking.group(now, 1_000_000n, 100, false)?.entries.map(({ offset }) => Number(offset)) ?? [];

describe('parked records', () => {
  it('are tried as often by all owners together as by one', () => {
    let parking = open();
    parking.read([waiting(0)], 1n);
    for (let owner = 2; owner < 5; owner += 1) {
      const [entry] = parking.group(DUE_LATER, 9n, 1, false)?.entries ?? [];
      if (entry === undefined) throw new Error('nothing to try');
      parking.postpone(entry, 0);
      parking = reopen(parking);
      parking.read([waiting(0)], 1n);
      const [again] = parking.group(DUE_LATER, 9n, 1, false)?.entries ?? [];
      expect(again).toMatchObject({
        attempts: owner,
        due: DUE_LATER,
      });
    }
  });

  it('are not tried again once they are resolved, though an earlier one is not', () => {
    const parking = open();
    const all = [0, 1, 2, 3].map((i) => waiting(i));
    parking.read(all, 4n);
    const [, second, third] = parking.group(0, 9n, 4, false)?.entries ?? [];
    for (const entry of [second, third]) if (entry !== undefined) parking.resolve(entry);
    const heir = reopen(parking);
    heir.read(all, 4n);
    expect(offsets(heir)).toEqual([0, 3]);
    expect(heir.records).toBe(2);
  });

  it('come again as the group that was planned, by its name, before anything else', () => {
    const parking = open();
    const all = [0, 1, 2, 3].map((i) => waiting(i));
    parking.read(all, 4n);
    const planned = parking.group(0, 9n, 3, true);
    const heir = reopen(parking);
    heir.read(all.slice(0, 2), 2n);
    expect(heir.group(0, 9n, 100, true)).toBeUndefined();
    heir.read(all.slice(2), 4n);
    const again = heir.group(0, 9n, 100, true);
    expect(again?.name).toBe(planned?.name);
    expect(again?.entries.map(({ offset }) => offset)).toEqual([0n, 1n, 2n]);
    heir.settled();
    expect(heir.group(0, 9n, 100, true)?.name).not.toBe(planned?.name);
  });

  it('are what is left of a group that retention has cut, by the name that it had', () => {
    const parking = open();
    parking.read([waiting(0), waiting(1), waiting(2)], 3n);
    const planned = parking.group(0, 9n, 3, true);
    const found = parseRetryMetadata(0n, parking.metadata());
    const heir = open({ from: 2n, end: 3n, found, epoch: 6 });
    heir.read([waiting(2)], 3n);
    expect(heir.group(0, 9n, 3, true)).toMatchObject({ name: planned?.name, entries: [{}] });
  });

  it('are void when an owner sent them that had lost the partition', () => {
    const heir = reopen(open({ epoch: 5 }), { end: 2n });
    const [sent, late, own, back] = [
      waiting(1, 1, { epoch: 5 }),
      waiting(2, 2, { epoch: 5 }),
      waiting(3, 3, { epoch: 6 }),
      waiting(4, 4),
    ];
    heir.read([sent, late, own, back], 5n);
    expect(offsets(heir)).toEqual([1, 3, 4]);
    // Also to those who come later, and read no more than what is outstanding.
    const next = reopen(heir);
    next.read([sent, late, own, back], 5n);
    expect(offsets(next)).toEqual([1, 3, 4]);
  });

  it('wait until all their copies are read', () => {
    const parking = open();
    parking.send('=k7', 7n);
    parking.read([waiting(0, 7, { epoch: 5 })], 1n);
    expect(offsets(parking)).toEqual([]);
    parking.acknowledged(3n);
    expect(offsets(parking)).toEqual([]);
    parking.read([waiting(2, 7, { epoch: 5 })], 3n);
    expect(offsets(parking)).toEqual([0]);
    expect(parking.records).toBe(1);
  });

  it('keep the order of what a range left out: what was sent back later does not hold it', () => {
    const parking = open();
    parking.read([waiting(3, 5)], 4n);
    expect(parking.holds('=k5', 8n)).toBe(true);
    expect(parking.holds('=k5', 8n, 4n)).toBe(true);
    expect(parking.holds('=k5', 8n, 3n)).toBe(false);
    expect(parking.holds('=k5', 4n)).toBe(false);
    parking.read([waiting(4, 5, { epoch: 5 }), waiting(5, 6, { epoch: 5 })], 6n);
    expect(parking.holds('=k6', 8n, 3n)).toBe(true);
  });

  it('have a state within the span of a commit only; those behind it wait', () => {
    const parking = open();
    parking.read([waiting(0), waiting(RETRY_SPAN - 1), waiting(RETRY_SPAN)], 4_000n);
    expect(offsets(parking)).toEqual([0, RETRY_SPAN - 1]);
    const [first] = parking.group(0, 1_000_000n, 1, false)?.entries ?? [];
    if (first !== undefined) parking.resolve(first);
    expect(offsets(parking)).toEqual([RETRY_SPAN - 1, RETRY_SPAN]);
  });
});
