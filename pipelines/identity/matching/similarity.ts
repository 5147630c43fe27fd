import { distance } from 'fastest-levenshtein';

/** Texts longer than this are compared by their beginnings. */
const MAX_LENGTH = 128;
const PREFIX = 4;
const PREFIX_WEIGHT = 0.1;

const taken = new Uint8Array(MAX_LENGTH);
const common = new Uint16Array(MAX_LENGTH);

/**
 * Jaro-Winkler similarity, 0 to 1 (Winkler 1990: prefix of up to 4 characters, weight 0.1): made for names, forgiving of
 * transpositions and of what differs at the end.
 */
export function jaroWinkler(first: string, second: string): number {
  if (first === second) return first === '' ? 0 : 1;
  const a = first.length > MAX_LENGTH ? first.slice(0, MAX_LENGTH) : first;
  const b = second.length > MAX_LENGTH ? second.slice(0, MAX_LENGTH) : second;
  const window = Math.max(0, (Math.max(a.length, b.length) >> 1) - 1);
  taken.fill(0, 0, b.length);
  let matches = 0;
  for (let i = 0; i < a.length; i += 1) {
    const end = Math.min(b.length, i + window + 1);
    for (let j = Math.max(0, i - window); j < end; j += 1) {
      if (taken[j] === 1 || a.charCodeAt(i) !== b.charCodeAt(j)) continue;
      taken[j] = 1;
      common[matches] = a.charCodeAt(i);
      matches += 1;
      break;
    }
  }
  if (matches === 0) return 0;
  let halves = 0;
  for (let j = 0, k = 0; j < b.length; j += 1) {
    if (taken[j] !== 1) continue;
    if (common[k] !== b.charCodeAt(j)) halves += 1;
    k += 1;
  }
  const jaro = (matches / a.length + matches / b.length + (matches - halves / 2) / matches) / 3;
  let prefix = 0;
  while (prefix < PREFIX && prefix < a.length && a.charCodeAt(prefix) === b.charCodeAt(prefix)) {
    prefix += 1;
  }
  return jaro + prefix * PREFIX_WEIGHT * (1 - jaro);
}

/** 1 − edits / length of the longer one, 0 to 1: for what is read, not heard, such as dates, numbers and streets. */
export function editSimilarity(a: string, b: string): number {
  if (a === b) return a === '' ? 0 : 1;
  const length = Math.max(a.length, b.length);
  return length > MAX_LENGTH ? 0 : 1 - distance(a, b) / length;
}

/** Whether digits differ by one edit, or by two neighbours that changed places. */
export function nearlyEqual(a: string, b: string): boolean {
  if (a.length !== b.length) return distance(a, b) <= 1;
  let first = -1;
  let differing = 0;
  for (let i = 0; i < a.length && differing <= 2; i += 1) {
    if (a.charCodeAt(i) === b.charCodeAt(i)) continue;
    if (differing === 0) first = i;
    differing += 1;
  }
  if (differing <= 1) return true;
  return (
    differing === 2 &&
    a.charCodeAt(first) === b.charCodeAt(first + 1) &&
    a.charCodeAt(first + 1) === b.charCodeAt(first)
  );
}
