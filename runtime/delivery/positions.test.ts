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

const found: CommittedPosition = {
  offset: 10n,
  metadata: '',
  isOfTopic: true,
  isOther: false,
  low: 0n,
  high: 20n,
  end: 20n,
};

describe('a planned position', () => {
  const open = (of: Partial<CommittedPosition>) =>
    plannedPosition(group({ ...found, ...of }), 'event.recorded', 0).open();

  const plan = (end: bigint) => planMetadata({ end, origin: 'a-b_c', seen: 3n });
  const start = { position: 10n, from: 10n, epoch: 0n };

  it('goes on with the range that was about to be written, by its name', async () => {
    const planned = { end: 20n, origin: 'a-b_c', seen: 3n };
    expect(await open({ metadata: plan(20n) })).toEqual({ ...start, planned });
    const old = { end: 20n, origin: undefined, seen: undefined };
    expect(await open({ metadata: 'plan:20' })).toEqual({ ...start, planned: old });
  });

  it('drops a plan that the topic does not reach to: its lane would wait for ever', async () => {
    const made = await open({ metadata: plan(21n) });
    expect(made).toEqual(start);
    const anew = await open({ offset: 500n, metadata: plan(520n) });
    expect(anew).toEqual({ position: 0n, from: 0n, epoch: 0n });
  });

  it('keeps the name of a range that retention has cut, and drops one of which nothing is left', async () => {
    const planned = { end: 20n, origin: 'a-b_c', seen: 3n };
    const cut = await open({ metadata: plan(20n), low: 15n, isOfTopic: false });
    expect(cut).toEqual({ ...start, from: 15n, planned });
    expect(await open({ metadata: plan(20n), low: 20n })).toEqual({ ...start, from: 20n });
  });

  it('is named by its records where a broker does not tell whether the topic is the same', async () => {
    const planned = { end: 20n, origin: undefined, seen: 3n };
    expect(await open({ metadata: plan(20n), isOfTopic: false })).toEqual({ ...start, planned });
  });

  it('is refused in another topic of the same name', async () => {
    const error = { code: 'INPUT_REPLACED', domain: 'user' };
    await expect(open({ isOther: true, isOfTopic: false })).rejects.toMatchObject(error);
  });

  it('commits a plan again when records were left out: only a member of the group may go on', async () => {
    const commits: string[] = [];
    const broker = {
      ...group({ ...found, metadata: plan(20n) }),
      commit: async (offset: bigint, metadata?: string) =>
        void commits.push(`${offset} ${metadata}`),
    };
    const position = plannedPosition(broker, 'event.recorded', 0);
    await position.open();
    const range = { start: 10n, end: 20n, epoch: 0n, origin: 'a-b_c' };
    await position.begin(range, 4n, false);
    expect(commits).toEqual([]);
    await position.begin(range, 4n, true);
    await position.begin({ ...range, origin: 'other' }, 4n, false);
    expect(commits).toEqual(['10 plan:20:a-b_c:4', '10 plan:20:other:4']);
  });
});

describe('a claimed position', () => {
  const open = (...answers: readonly CommittedPosition[]) =>
    claimedPosition(sinkAt(25n), 'contact.golden', 0, group(...answers), systemClock).open();

  it('may be where the owner before has written to since the end was asked for', async () => {
    const start = await open(found, { ...found, high: 30n });
    expect(start).toEqual({ position: 25n, from: 25n, epoch: 2n });
  });

  it('is refused in another topic of the same name, however long that is', async () => {
    const sink: Sink = {
      ...sinkAt(15n),
      claim: async () => ({ epoch: 2n, position: 15n, topicId: 'old' }),
    };
    const openIn = (topicId: string | undefined) => {
      const positions = group({ ...found, topicId, isOfTopic: false });
      return claimedPosition(sink, 'contact.golden', 0, positions, systemClock).open();
    };
    await expect(openIn('new')).rejects.toMatchObject({ code: 'INPUT_REPLACED' });
    expect(await openIn('old')).toMatchObject({ position: 15n });
    expect(await openIn(undefined)).toMatchObject({ position: 15n });
  });

  it('is refused beyond the end of the topic', async () => {
    await expect(open(found)).rejects.toMatchObject({ code: 'SINK_POSITION_LOST' });
  });
});
