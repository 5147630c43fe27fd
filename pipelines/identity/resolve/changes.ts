import { contactId } from './golden.ts';
import type { KnownRecord } from './known-record.ts';

/** Source records of one contact, ascending by number; the first is its anchor, whose identity is the contact's. */
export type Component = readonly KnownRecord[];

/** What became of contacts. */
export type Change =
  | { readonly kind: 'created'; readonly now: Component; readonly splitFrom: string | null }
  | { readonly kind: 'updated'; readonly before: Component; readonly now: Component }
  | { readonly kind: 'merged'; readonly before: Component; readonly into: Component }
  | { readonly kind: 'deleted'; readonly before: Component };

/** Compares the contacts that a change touched, before and after it: first those that are there, then those that are not. */
export function changesOf(before: readonly Component[], after: readonly Component[]): Change[] {
  const changes: Change[] = [];
  for (const now of after) {
    const anchor = now[0]?.number;
    const same = before.find((component) => component[0]?.number === anchor);
    if (same !== undefined) {
      changes.push({ kind: 'updated', before: same, now });
      continue;
    }
    const from = before.find((component) => component.some(({ number }) => number === anchor))?.[0];
    const splitFrom = from === undefined ? null : contactId(from.observed);
    changes.push({ kind: 'created', now, splitFrom });
  }
  for (const gone of before) {
    if (after.some((component) => component[0]?.number === gone[0]?.number)) continue;
    const into = heirOf(gone, after);
    changes.push(
      into === undefined
        ? { kind: 'deleted', before: gone }
        : { kind: 'merged', before: gone, into },
    );
  }
  return changes;
}

/** Where the first of a contact's source records that is left is now. */
function heirOf(gone: Component, after: readonly Component[]): Component | undefined {
  for (const member of gone) {
    const heir = after.find((component) =>
      component.some(({ number }) => number === member.number),
    );
    if (heir !== undefined) return heir;
  }
  return undefined;
}
