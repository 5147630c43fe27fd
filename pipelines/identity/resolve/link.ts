import { MATCH_BITS, matchBits } from '../matching/score.ts';
import type { KnownRecord } from './known-record.ts';
import type { Records } from './records.ts';

/** Source records of one contact, at most. */
export const MAX_MEMBERS = 50;

/** What a record is connected with. */
export interface Links {
  /** Ascending. */
  readonly edges: readonly number[];
  /** Records that it matches, but whose contact would have too many source records with it. */
  readonly heldBack: readonly KnownRecord[];
}

/**
 * Verifies candidates, and connects a record with those that match, the surest first, as long as the contact has at most
 * `MAX_MEMBERS` source records.
 * @param record its own old edges do not count. @param candidates numbers, ascending.
 */
export function link(record: KnownRecord, candidates: readonly number[], records: Records): Links {
  const matches: { readonly other: KnownRecord; readonly bits: number }[] = [];
  for (const number of candidates) {
    const other = records.get(number);
    if (!isComparable(record, other)) continue;
    const bits = matchBits(record.match, other.match, record.shingles, other.shingles);
    if (bits >= MATCH_BITS) matches.push({ other, bits });
  }
  matches.sort((a, b) => b.bits - a.bits || a.other.number - b.other.number);
  const members = new Set([record.number]);
  const edges: number[] = [];
  const heldBack: KnownRecord[] = [];
  for (const { other } of matches) {
    if (!members.has(other.number)) {
      const joining = records.component(other, record.number);
      if (members.size + joining.length > MAX_MEMBERS) {
        heldBack.push(other);
        continue;
      }
      for (const { number } of joining) members.add(number);
    }
    edges.push(other.number);
  }
  return { edges: edges.sort((a, b) => a - b), heldBack };
}

/** A hash that two tenants share by chance makes no candidates. */
function isComparable({ observed: a }: KnownRecord, { observed: b }: KnownRecord): boolean {
  return a.tenant_id === b.tenant_id && !a.is_deleted && !b.is_deleted;
}
