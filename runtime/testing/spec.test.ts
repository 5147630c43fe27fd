import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';

/** `runtime/SPEC.md` names tests; they have to be there. */

const ROOT = new URL('../../', import.meta.url);

interface Invariant {
  readonly id: string;
  readonly tests: { readonly file: string; readonly name: string }[];
}

function invariantsOf(text: string): Invariant[] {
  const invariants: Invariant[] = [];
  for (const line of text.split('\n')) {
    const id = /^- \*\*([A-Z]+\d+)\*\* \S/.exec(line)?.[1];
    if (id !== undefined) invariants.push({ id, tests: [] });
    const [, file, name] = /^ {2}- `([^`]+)` › (.+)$/.exec(line) ?? [];
    if (file !== undefined && name !== undefined) invariants.at(-1)?.tests.push({ file, name });
  }
  return invariants;
}

/** Whether a test file has a test of that name, as it is written there. */
function hasTest(file: string, name: string): boolean {
  const path = new URL(file, ROOT);
  if (!existsSync(path)) return false;
  const text = readFileSync(path, 'utf8');
  return [`'${name}'`, `"${name}"`, `\`${name}\``].some((quoted) => text.includes(quoted));
}

const invariants = invariantsOf(readFileSync(new URL('runtime/SPEC.md', ROOT), 'utf8'));

describe('the specification', () => {
  it('numbers its invariants, each once', () => {
    const ids = invariants.map(({ id }) => id);
    expect(ids.length).toBeGreaterThan(30);
    expect(ids).toEqual([...new Set(ids)]);
  });

  it('names a test for each of them', () => {
    const untested = invariants.filter(({ tests }) => tests.length === 0);
    expect(untested.map(({ id }) => id)).toEqual([]);
  });

  it('names tests that are there', () => {
    const missing = invariants.flatMap(({ id, tests }) =>
      tests
        .filter(({ file, name }) => !hasTest(file, name))
        .map(({ file, name }) => `${id}: ${file} › ${name}`),
    );
    expect(missing).toEqual([]);
  });

  it('would notice a name that is not there', () => {
    expect(hasTest('runtime/testing/spec.test.ts', 'numbers its invariants, each once')).toBe(true);
    expect(hasTest('runtime/testing/spec.test.ts', ['no', 'such', 'test'].join(' '))).toBe(false);
    expect(hasTest('runtime/testing/nowhere.test.ts', 'names a test for each of them')).toBe(false);
  });
});
