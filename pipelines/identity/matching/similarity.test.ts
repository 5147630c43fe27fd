import { describe, expect, it } from 'vitest';
import { editSimilarity, jaroWinkler, nearlyEqual } from './similarity.ts';

describe('Jaro-Winkler', () => {
  // Winkler's published table (U.S. Census Bureau, RR2006-2, table 6), to three digits.
  it.each([
    ['shackleford', 'shackelford', 0.982],
    ['dunningham', 'cunnigham', 0.896],
    ['nichleson', 'nichulson', 0.956],
    ['jones', 'johnson', 0.832],
    ['massey', 'massie', 0.933],
    ['abroms', 'abrams', 0.922],
    ['jeraldine', 'geraldine', 0.926],
    ['marhta', 'martha', 0.961],
    ['michelle', 'michael', 0.921],
    ['julies', 'julius', 0.933],
    ['tanya', 'tonya', 0.88],
    ['dwayne', 'duane', 0.84],
    ['sean', 'susan', 0.805],
    ['jon', 'john', 0.933],
    ['jon', 'jan', 0.8],
  ])('%s and %s', (a, b, expected) => {
    expect(jaroWinkler(a, b)).toBeCloseTo(expected, 3);
    expect(jaroWinkler(b, a)).toBeCloseTo(expected, 3);
  });

  it('is 0 of nothing in common, and of nothing', () => {
    expect(jaroWinkler('abc', 'xyz')).toBe(0);
    expect(jaroWinkler('', '')).toBe(0);
    expect(jaroWinkler('', 'a')).toBe(0);
  });
});

it('edits are counted against the longer text', () => {
  expect(editSimilarity('kitten', 'sitting')).toBeCloseTo(4 / 7);
  expect(editSimilarity('', 'a')).toBe(0);
});

it('nearly equal is one edit, or two neighbours that changed places', () => {
  expect(nearlyEqual('1990-01-02', '1990-01-03')).toBe(true);
  expect(nearlyEqual('1990-01-12', '1990-01-21')).toBe(true);
  expect(nearlyEqual('1990-01-02', '1909-01-20')).toBe(false);
  expect(nearlyEqual('1990-01-02', '1990-10-02')).toBe(true);
  expect(nearlyEqual('2600', '260')).toBe(true);
});
