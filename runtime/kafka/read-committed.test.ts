import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { dropAborted, type FetchedMessage } from './read-committed.ts';

const marker = (type: 0 | 1) => Buffer.from([0, 0, 0, type]);

function message(offset: number, producerId: number, control?: 'abort' | 'commit'): FetchedMessage {
  return {
    offset: String(offset),
    key: control === undefined ? Buffer.from('k') : marker(control === 'abort' ? 0 : 1),
    isControlRecord: control !== undefined,
    batchContext: { producerId: String(producerId), inTransaction: true },
  };
}

const offsets = (messages: readonly FetchedMessage[]) =>
  messages
    .filter(({ isControlRecord }) => isControlRecord !== true)
    .map(({ offset }) => Number(offset));

describe('dropAborted', () => {
  it('drops overlapping aborted transactions listed in the order of their abort', () => {
    const messages = [
      message(10, 1),
      message(11, 2),
      message(12, 1),
      message(13, 3),
      message(14, 2, 'abort'),
      message(15, 1, 'abort'),
      message(16, 3, 'commit'),
      message(17, 1),
      message(18, 1, 'commit'),
    ];
    const abortedTransactions = [
      { producerId: '2', firstOffset: '11' },
      { producerId: '1', firstOffset: '10' },
    ];
    expect(offsets(dropAborted({ messages, abortedTransactions }))).toEqual([13, 17]);
  });

  it('does not take a record with the key 00 00 00 00 for a marker', () => {
    const zero = { ...message(11, 1), key: marker(0) };
    const messages = [message(10, 1), zero, message(12, 1), message(13, 1, 'abort')];
    const abortedTransactions = [{ producerId: '1', firstOffset: '10' }];
    expect(offsets(dropAborted({ messages, abortedTransactions }))).toEqual([]);
  });

  it('keeps exactly the committed records of any interleaving, wherever the fetch begins', () => {
    const step = fc.record({
      producer: fc.nat(3),
      what: fc.constantFrom('send', 'send', 'commit', 'abort'),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), fc.nat(30), (steps, from) => {
        const log: FetchedMessage[] = [];
        const open = new Map<number, number[]>();
        const committed = new Set<number>();
        const aborts: { producerId: string; firstOffset: string; marker: number }[] = [];
        const end = (producer: number, what: 'commit' | 'abort') => {
          const sent = open.get(producer);
          if (sent === undefined) return;
          open.delete(producer);
          const marker = log.length;
          log.push(message(marker, producer, what));
          if (what === 'commit') for (const offset of sent) committed.add(offset);
          else aborts.push({ producerId: String(producer), firstOffset: String(sent[0]), marker });
        };
        for (const { producer, what } of steps) {
          if (what === 'commit' || what === 'abort') {
            end(producer, what);
            continue;
          }
          open.set(producer, [...(open.get(producer) ?? []), log.length]);
          log.push(message(log.length, producer));
        }
        for (const producer of [...open.keys()]) end(producer, 'abort');
        const messages = log.slice(from);
        // The broker lists the aborted transactions that reach into the fetched range.
        const abortedTransactions = aborts.filter(({ marker: end }) => end >= from);
        const kept = offsets(dropAborted({ messages, abortedTransactions }));
        expect(kept).toEqual(
          [...committed].filter((offset) => offset >= from).toSorted((a, b) => a - b),
        );
      }),
      { numRuns: 2_000 },
    );
  });
});
