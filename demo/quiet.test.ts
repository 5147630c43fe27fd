import { describe, expect, it } from 'vitest';
import { QuietDetector, type Sample } from './quiet.ts';

function firstQuiet(samples: readonly Sample[]): number {
  const detector = new QuietDetector();
  return samples.findIndex((sample) => detector.observe(sample));
}

const still = (count: number, lag = 0): Sample => ({ lag, counts: [count, 1] });

describe('QuietDetector', () => {
  it('needs several equal looks in a row', () => {
    expect(firstQuiet(Array.from({ length: 10 }, () => still(1)))).toBe(5);
  });

  it('begins anew when a count moves', () => {
    const samples = [
      ...Array.from({ length: 5 }, () => still(1)),
      ...Array.from({ length: 9 }, () => still(2)),
    ];
    expect(firstQuiet(samples)).toBe(10);
  });

  it('waits longer where some lag stays', () => {
    expect(firstQuiet(Array.from({ length: 20 }, () => still(1, 3)))).toBe(10);
  });

  it('never is while the lag moves', () => {
    expect(firstQuiet(Array.from({ length: 40 }, (_, i) => still(1, i % 7)))).toBe(-1);
  });
});
