import { describe, expect, it } from 'vitest';
import { claimedPosition } from './claimed-position.ts';
import { systemClock } from './clock.ts';
import { planMetadata, plannedPosition } from './planned-position.ts';
import type { CommittedPosition, GroupPositions } from './position.ts';
import type { Sink } from './sink.ts';

/** A group that answers with these, one after the other, the last again and again. */
function group(...answers: readonly CommittedPosition[]): GroupPositions {
  let asked = 0;
  return {
    committed: async () => {
      const answer = answers[Math.min(asked, answers.length - 1)];
      asked += 1;
      if (answer === undefined) throw new Error('no answer given');
      return answer;
    },
    commit: async () => undefined,
  };
}

function sinkAt(position: bigint): Sink {
  return {
    name: 'scripted',
    mode: 'transactional',
    topics: ['contact.golden'],
    limits: { records: 10, bytes: 1_000, lingerMs: 0 },
    writers: 1,
    open: async () => undefined,
    claim: async () => ({ epoch: 2n, position }),
    write: async () => [],
    close: async () => undefined,
  };
}

const found: CommittedPosition = { offset: 10n, metadata: '', low: 0n, high: 20n };

describe('a planned position', () => {
  const open = (of: Partial<CommittedPosition>) =>
    plannedPosition(group({ ...found, ...of })).open();

  it('goes on with the range that was about to be written', async () => {
    const start = { position: 10n, from: 10n, epoch: 0n };
    expect(await open({ metadata: planMetadata(20n) })).toEqual({ ...start, plannedEnd: 20n });
  });

  it('drops a plan that the topic does not reach to: its lane would wait for ever', async () => {
    const made = await open({ metadata: planMetadata(21n) });
    expect(made).toEqual({ position: 10n, from: 10n, epoch: 0n });
    const anew = await open({ offset: 500n, metadata: planMetadata(520n) });
    expect(anew).toEqual({ position: 0n, from: 0n, epoch: 0n });
  });
});

describe('a claimed position', () => {
  const open = (...answers: readonly CommittedPosition[]) =>
    claimedPosition(sinkAt(25n), 'contact.golden', 0, group(...answers), systemClock).open();

  it('may be where the owner before has written to since the end was asked for', async () => {
    const start = await open(found, { ...found, high: 30n });
    expect(start).toEqual({ position: 25n, from: 25n, epoch: 2n });
  });

  it('is refused beyond the end of the topic', async () => {
    await expect(open(found)).rejects.toMatchObject({ code: 'SINK_POSITION_LOST' });
  });
});
