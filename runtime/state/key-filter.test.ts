import { describe, expect, it } from 'vitest';
import { KeyFilter } from './key-filter.ts';

const KINDS: [string, (index: number) => string][] = [
  ['numbers', (index) => `${index}`],
  [
    'ids with a long common part',
    (index) => `order-2026-11-21-${index.toString().padStart(12, '0')}`,
  ],
  ['bytes', (index) => String.fromCharCode(index & 255, (index >> 8) & 255, (index >> 16) & 255)],
];

describe('key filter', () => {
  it.each(KINDS)('never misses a key, and lets few others pass: %s', (_kind, keyOf) => {
    const filter = new KeyFilter();
    for (let index = 0; index < 300_000; index += 1) filter.add(keyOf(index));
    let missed = 0;
    for (let index = 0; index < 300_000; index += 1) if (!filter.mayHave(keyOf(index))) missed += 1;
    expect(missed).toBe(0);
    let passed = 0;
    for (let index = 0; index < 100_000; index += 1)
      if (filter.mayHave(keyOf(1_000_000 + index))) passed += 1;
    expect(passed).toBeLessThan(4_000);
  });

  it('counts a key once, and has none when cleared', () => {
    const filter = new KeyFilter();
    for (let times = 0; times < 3; times += 1) for (const key of ['', 'a', 'b']) filter.add(key);
    expect(filter.keys).toBe(3);
    expect(filter.mayHave('')).toBe(true);
    filter.clear();
    expect(filter.mayHave('a')).toBe(false);
    expect(filter.keys).toBe(0);
  });
});
