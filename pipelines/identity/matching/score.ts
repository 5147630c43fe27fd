import type { MatchRecord } from './match-record.ts';
import { jaccard } from './shingles.ts';
import { editSimilarity, jaroWinkler, nearlyEqual } from './similarity.ts';

/**
 * Evidence in bits (Fellegi and Sunter 1969): how much likelier what a field shows is of one person than of two. Fields that
 * one of the records lacks say nothing. The weights are the usual orders of magnitude, log2 m/u for agreement and
 * log2 (1−m)/(1−u) for disagreement: of u, two strangers agree by chance in one of 2^10 birth dates, 2^8 family
 * names, and so on; of 1−m, one person has two values: often two addresses of e-mail, seldom two dates of birth.
 */
export const WEIGHTS = {
  email: { agree: 12, differ: -1 },
  phone: { agree: 10, differ: -1 },
  birthDate: { agree: 10, nearly: 5, differ: -5 },
  family: { agree: 7, differ: -4 },
  given: { agree: 5, differ: -3 },
  street: { agree: 7, differ: -1.5 },
  locality: { agree: 4, differ: -0.5 },
  city: { agree: 5, differ: -1 },
  postcode: { agree: 6, nearly: 3, differ: -1 },
  region: { agree: 1.5, differ: -0.5 },
  company: { agree: 4, differ: -1 },
  /** Of the whole: bits at a Jaccard similarity of 1; none at `JACCARD_NEUTRAL`, as much against at 0. */
  jaccard: 6,
} as const;

const JACCARD_NEUTRAL = 0.4;
/** Names below this Jaro-Winkler similarity are other names. */
const NAMES_FROM = 0.75;
const TEXT_FROM = 0.6;
const OTHER_NAME = 0.7;
/** What names cost that agree only when they are swapped, bits. */
const SWAPPED = 1;

/** Bits from which two records are one contact. */
export const MATCH_BITS = 14;

/**
 * What pairs have at most, in bits, for which one kind of evidence is missing: short of a match.
 * - People of one household or company share a family name, an address, a phone, a mailbox. Where their given names are plainly
 *   different, it takes the same date of birth. (Twins at one address are taken for one person who uses two given
 *   names, which is commoner in Febrl.)
 * - Many people have one name, also in one town: beside it something has to agree that few have.
 */
const INCOMPLETE = 12;

/** The verification of a candidate pair: bits of evidence that both are one contact; the higher, the surer. */
export function matchBits(
  a: MatchRecord,
  b: MatchRecord,
  aShingles: Uint32Array,
  bShingles: Uint32Array,
): number {
  const straight = nameBits(a.given, b.given, a.family, b.family);
  const swapped = nameBits(a.given, b.family, a.family, b.given) - SWAPPED;
  const names = Math.max(straight, swapped);
  const born = near(a.birthDate, b.birthDate, WEIGHTS.birthDate);
  const email = exact(a.email, b.email, WEIGHTS.email);
  const phone = exact(a.phone, b.phone, WEIGHTS.phone);
  const postcode = near(a.postcode, b.postcode, WEIGHTS.postcode);
  const street = text(a.street, b.street, WEIGHTS.street);
  const bits =
    names +
    email +
    phone +
    postcode +
    street +
    surroundings(a, b) +
    jaccardBits(jaccard(aShingles, bShingles));
  if (isOtherName(a.given, b.given) && isOtherName(a.given, b.family)) {
    return born + Math.min(bits, INCOMPLETE);
  }
  const isPlaced = Math.max(born, email, phone, postcode, street) > 0;
  return isPlaced ? born + bits : Math.min(born + bits, INCOMPLETE);
}

/** What many share. */
function surroundings(a: MatchRecord, b: MatchRecord): number {
  return (
    text(a.locality, b.locality, WEIGHTS.locality) +
    text(a.city, b.city, WEIGHTS.city) +
    text(a.region, b.region, WEIGHTS.region) +
    text(a.company, b.company, WEIGHTS.company)
  );
}

interface Weight {
  readonly agree: number;
  readonly differ: number;
}

function exact(a: string, b: string, { agree, differ }: Weight): number {
  if (a === '' || b === '') return 0;
  return a === b ? agree : differ;
}

function near(a: string, b: string, weight: Weight & { readonly nearly: number }): number {
  if (a === '' || b === '') return 0;
  if (a === b) return weight.agree;
  return nearlyEqual(a, b) ? weight.nearly : weight.differ;
}

function text(a: string, b: string, weight: Weight): number {
  if (a === '' || b === '') return 0;
  return between(editSimilarity(a, b), TEXT_FROM, weight);
}

/** From `differ`, at a similarity of `from` and below, to `agree` at 1. */
function between(similarity: number, from: number, { agree, differ }: Weight): number {
  if (similarity <= from) return differ;
  return differ + ((agree - differ) * (similarity - from)) / (1 - from);
}

function name(a: string, b: string, weight: Weight): number {
  if (a === '' || b === '') return 0;
  return between(jaroWinkler(a, b), NAMES_FROM, weight);
}

function nameBits(aGiven: string, bGiven: string, aFamily: string, bFamily: string): number {
  return name(aGiven, bGiven, WEIGHTS.given) + name(aFamily, bFamily, WEIGHTS.family);
}

/** Both are there, and neither is the other, spelled wrongly or by its initial. */
function isOtherName(a: string, b: string): boolean {
  if (a === '' || b === '') return false;
  if ((a.length === 1 || b.length === 1) && a[0] === b[0]) return false;
  return jaroWinkler(a, b) < OTHER_NAME;
}

function jaccardBits(similarity: number): number {
  const range = similarity < JACCARD_NEUTRAL ? JACCARD_NEUTRAL : 1 - JACCARD_NEUTRAL;
  return (WEIGHTS.jaccard * (similarity - JACCARD_NEUTRAL)) / range;
}
