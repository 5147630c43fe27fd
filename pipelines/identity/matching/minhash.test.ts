import { describe, expect, it } from 'vitest';
import { BLOCKS, Blocker } from './blocking.ts';
import { emailKey, fold, type MatchRecord } from './match-record.ts';
import { BANDS, candidateProbability, estimate, PERMUTATIONS, Signer } from './minhash.ts';
import { jaccard, Shingler, shingleSet } from './shingles.ts';
import { loadFebrl } from './testing/febrl.ts';

const ada: MatchRecord = {
  given: 'ada',
  family: 'lovelace',
  email: 'ada@example.com',
  phone: '+4915112345678',
  birthDate: '1815-12-10',
  street: '12 saint james square',
  locality: '',
  city: 'london',
  region: '',
  postcode: 'sw1y4jh',
  company: 'analytical engines',
};

function setOf(record: MatchRecord): Uint32Array {
  const shingler = new Shingler();
  shingler.shingle(record);
  return shingleSet(shingler);
}

function blocksOf(tenant: string, record: MatchRecord): number[] {
  const blocker = new Blocker();
  blocker.block(tenant, record);
  return [...blocker.blocks];
}

describe('shingles', () => {
  it('are the same for swapped names, and compare as sets do', () => {
    const swapped = setOf({ ...ada, given: ada.family, family: ada.given });
    expect(jaccard(setOf(ada), swapped)).toBe(1);
    expect(jaccard(Uint32Array.of(1, 2, 3), Uint32Array.of(2, 3, 4, 5))).toBe(2 / 5);
    expect(jaccard(new Uint32Array(0), new Uint32Array(0))).toBe(0);
  });

  it('leave the domain of an address out, and are cut at their limit', () => {
    expect(jaccard(setOf(ada), setOf({ ...ada, email: 'ada@elsewhere.org' }))).toBe(1);
    const shingler = new Shingler();
    shingler.shingle({ ...ada, company: 'x'.repeat(10_000) });
    expect(shingler.count).toBe(shingler.values.length);
  });
});

describe('signatures', () => {
  it('estimate the Jaccard similarity without bias, as well as their length allows', () => {
    const records = loadFebrl(1).map(({ record }) => record);
    const [left, right] = [new Signer(), new Signer()];
    let error = 0;
    let squared = 0;
    let pairs = 0;
    for (let i = 0; i + 1 < records.length; i += 2) {
      const [a, b] = [records[i], records[i + 1]];
      if (a === undefined || b === undefined) continue;
      // Half of the one, half of the other: similarities from strangers to nearly the same.
      const mixed = {
        ...b,
        street: a.street,
        city: a.city,
        family: a.family,
        locality: a.locality,
      };
      left.sign(a);
      right.sign(mixed);
      const difference =
        estimate(left.signature, right.signature) - jaccard(setOf(a), setOf(mixed));
      error += difference;
      squared += difference ** 2;
      pairs += 1;
    }
    // The standard error of one is at most √(1/4n) = 0.047; of the mean of 500 pairs 0.002, where nothing is biased.
    expect(Math.abs(error / pairs)).toBeLessThan(0.012);
    expect(Math.sqrt(squared / pairs)).toBeLessThan(1.2 * Math.sqrt(1 / (4 * PERMUTATIONS)));
  });

  it('share bands by the S-curve: nearly always above 0.8, hardly ever below 0.3', () => {
    expect(candidateProbability(0.8)).toBeGreaterThan(0.97);
    expect(candidateProbability(0.9)).toBeGreaterThan(0.999);
    expect(candidateProbability(0.3)).toBeLessThan(0.0002);
    expect(candidateProbability(0.2)).toBeLessThan(0.00001);
  });
});

describe('blocks', () => {
  it('are the same for the same record, and others for another tenant', () => {
    expect(blocksOf('t', ada)).toEqual(blocksOf('t', { ...ada }));
    const other = blocksOf('u', ada);
    expect(blocksOf('t', ada).filter((hash, block) => hash === other[block])).toEqual([]);
  });

  it('by exact keys are shared by what shares the key, and by nobody who lacks it', () => {
    const stranger = {
      ...ada,
      given: 'x',
      family: 'y',
      street: 'z',
      city: '',
      company: 'w',
      phone: '',
    };
    const same = blocksOf('t', stranger);
    const shared = blocksOf('t', ada).flatMap((hash, block) =>
      hash === same[block] ? [block] : [],
    );
    expect(shared).toContain(BANDS);
    expect(same[BANDS + 1]).toBe(0);
  });

  it('of an empty record are none', () => {
    const nobody = Object.fromEntries(Object.keys(ada).map((field) => [field, '']));
    expect(blocksOf('t', nobody as unknown as MatchRecord)).toEqual(new Array(BLOCKS).fill(0));
  });
});

it('folding takes away what does not tell people apart', () => {
  expect(fold(' Müller-Lüdenscheidt,  José ')).toBe('muller ludenscheidt jose');
  expect(fold('O’Brien')).toBe('o brien');
  expect(fold('Ａｄａ')).toBe('ada');
  expect(emailKey('Ada+news@example.com')).toBe('ada@example.com');
});
