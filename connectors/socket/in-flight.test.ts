import { describe, expect, it } from 'vitest';
import { InFlight } from './in-flight.ts';

function reader() {
  const heard: string[] = [];
  return { heard, onFull: () => void heard.push('full'), onRoom: () => void heard.push('room') };
}

describe('messages in flight', () => {
  it('stop all readers once when there are too many, and let them go on when a quarter is free', () => {
    const inFlight = new InFlight({ messages: 8, bytes: 1_000 });
    const [one, other] = [reader(), reader()];
    inFlight.join(one);
    inFlight.join(other);
    for (let i = 0; i < 10; i += 1) inFlight.add(1);
    expect([one.heard, other.heard]).toEqual([['full'], ['full']]);
    for (let i = 0; i < 3; i += 1) inFlight.remove(1);
    expect(inFlight.isFull).toBe(true);
    inFlight.leave(other);
    inFlight.remove(1);
    expect([inFlight.isFull, inFlight.messages]).toEqual([false, 6]);
    expect([one.heard, other.heard]).toEqual([['full', 'room'], ['full']]);
  });

  it('count bytes, too', () => {
    const inFlight = new InFlight({ messages: 8, bytes: 1_000 });
    const one = reader();
    inFlight.join(one);
    inFlight.add(600);
    inFlight.add(600);
    inFlight.remove(600);
    expect(one.heard).toEqual(['full', 'room']);
  });
});
