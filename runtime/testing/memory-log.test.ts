import { beforeEach, describe, expect, it } from 'vitest';
import { MemoryLog } from './memory-log.ts';

/** The log in memory does as a broker does: what tests over it say is worth that much. */

let log: MemoryLog;

beforeEach(() => {
  log = new MemoryLog(() => 1);
});

const record = (text: string) => ({ key: text, value: Buffer.from(text), timestamp: 0 });

function read(from = 0n): string[] {
  return log.read('t', 0, from).records.map(({ value }) => String(value));
}

function write(id: string, epoch: number, text: string): bigint {
  return log.append('t', 0, record(text), log.transaction(id, epoch));
}

describe('transactions', () => {
  it('are seen once they are committed, and their marker takes an offset', () => {
    const epoch = log.initProducer('a');
    write('a', epoch, 'x');
    expect([read(), log.lastStable('t', 0), log.high('t', 0)]).toEqual([[], 0n, 1n]);
    log.endTransaction('a', epoch, 'committed');
    expect([read(), log.lastStable('t', 0)]).toEqual([['x'], 2n]);
    expect(log.append('t', 0, record('y'))).toBe(2n);
    expect(log.read('t', 0, 0n, 1)).toMatchObject({ nextOffset: 2n, atEnd: false });
  });

  it('that are aborted leave nothing but offsets', () => {
    const epoch = log.initProducer('a');
    write('a', epoch, 'x');
    log.endTransaction('a', epoch, 'aborted');
    expect(log.read('t', 0, 0n)).toEqual({ records: [], nextOffset: 2n, atEnd: true });
  });

  it('hold readers back while one is undecided, whatever is behind it', () => {
    const [a, b] = [log.initProducer('a'), log.initProducer('b')];
    write('a', a, 'x');
    write('b', b, 'y');
    log.endTransaction('b', b, 'committed');
    expect(read()).toEqual([]);
    log.endTransaction('a', a, 'aborted');
    expect(read()).toEqual(['y']);
  });

  it('commit positions with their records', () => {
    const epoch = log.initProducer('a');
    const position = { group: 'g', topic: 't', partition: 0, nextOffset: 5n };
    log.addOffsets('a', epoch, [position]);
    expect(log.committed('g', 't', 0)).toBeUndefined();
    log.endTransaction('a', epoch, 'committed');
    expect(log.committed('g', 't', 0)).toBe(5n);
  });
});

describe('a second owner of an id', () => {
  it('aborts what is open, and fences the first', () => {
    const first = log.initProducer('a');
    write('a', first, 'x');
    const second = log.initProducer('a');
    expect(log.lastStable('t', 0)).toBe(2n);
    expect(() => write('a', first, 'y')).toThrow(expect.objectContaining({ code: 'FENCED' }));
    expect(() => log.endTransaction('a', first, 'committed')).toThrow(/took over/);
    write('a', second, 'z');
    log.endTransaction('a', second, 'committed');
    expect(read()).toEqual(['z']);
  });
});

describe('deleted records', () => {
  it('are gone for readers, and offsets go on', () => {
    for (const text of ['a', 'b', 'c']) log.append('t', 0, record(text));
    log.deleteBefore('t', 0, 2n);
    expect([read(), log.low('t', 0), log.high('t', 0)]).toEqual([['c'], 2n, 3n]);
    log.deleteBefore('t', 0, 1n);
    expect(log.low('t', 0)).toBe(2n);
  });
});
