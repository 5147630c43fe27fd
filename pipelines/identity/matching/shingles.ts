import { mix } from './hash.ts';
import type { MatchRecord } from './match-record.ts';

/** A record has no more shingles than this; what is longer is cut, so that one record's cost is bounded. */
export const MAX_SHINGLES = 512;

const EDGE = 0x1f;

/**
 * The shingles of a record, as 32-bit hashes, with repeats: what MinHash signs and Jaccard compares.
 * - Of text: pairs of neighbouring characters (edges of each field count as one), which one typing error changes two
 *   of. They are not marked with their field: names that are swapped, or an address in another line, are the same set.
 * - Of numbers (phone, date of birth, postcode): triples, marked with their field: ten digits are few, and would
 *   make strangers alike.
 * - Of the e-mail address the local part only: a domain is shared by strangers.
 */
export class Shingler {
  readonly values = new Uint32Array(MAX_SHINGLES);
  count = 0;

  /** Puts the shingles of `record` into `values`, `count` of them. */
  shingle(record: MatchRecord): void {
    this.count = 0;
    this.#pairs(record.given);
    this.#pairs(record.family);
    this.#pairs(record.street);
    this.#pairs(record.locality);
    this.#pairs(record.city);
    this.#pairs(record.region);
    this.#pairs(record.company);
    const at = record.email.indexOf('@');
    if (at > 0) this.#triples(1, record.email, 0, at);
    this.#triples(2, record.phone, Math.max(0, record.phone.length - 9), record.phone.length);
    this.#triples(3, record.birthDate, 0, record.birthDate.length);
    this.#triples(4, record.postcode, 0, record.postcode.length);
  }

  #pairs(text: string): void {
    if (text === '') return;
    let before = EDGE;
    for (let i = 0; i <= text.length; i += 1) {
      const at = i === text.length ? EDGE : text.charCodeAt(i);
      this.#add((before << 16) | at);
      before = at;
    }
  }

  #triples(field: number, text: string, from: number, to: number): void {
    if (from >= to) return;
    const seed = Math.imul(field, 0x9e3779b1);
    let first = EDGE;
    let second = text.charCodeAt(from);
    for (let i = from + 1; i <= to; i += 1) {
      const third = i === to ? EDGE : text.charCodeAt(i);
      this.#add(seed ^ mix((first << 16) | second) ^ Math.imul(third, 0x85ebca6b));
      first = second;
      second = third;
    }
  }

  #add(shingle: number): void {
    if (this.count === MAX_SHINGLES) return;
    this.values[this.count] = mix(shingle);
    this.count += 1;
  }
}

/** A sorted copy without repeats, for `jaccard`. */
export function shingleSet(shingler: Shingler): Uint32Array {
  const sorted = shingler.values.slice(0, shingler.count).sort();
  let size = 0;
  for (let i = 0; i < sorted.length; i += 1) {
    const value = sorted[i] ?? 0;
    if (size > 0 && sorted[size - 1] === value) continue;
    sorted[size] = value;
    size += 1;
  }
  return sorted.subarray(0, size);
}

/** |a ∩ b| / |a ∪ b| of sorted sets; 0 of two empty ones. */
export function jaccard(a: Uint32Array, b: Uint32Array): number {
  let i = 0;
  let j = 0;
  let both = 0;
  while (i < a.length && j < b.length) {
    const x = a[i] ?? 0;
    const y = b[j] ?? 0;
    if (x === y) both += 1;
    if (x <= y) i += 1;
    if (y <= x) j += 1;
  }
  const all = a.length + b.length - both;
  return all === 0 ? 0 : both / all;
}
