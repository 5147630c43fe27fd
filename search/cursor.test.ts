import { describe, expect, it } from 'vitest';
import { createCursors, type Position } from './cursor.ts';

const position: Position = {
  ...{ snapshot: 'a snapshot', since: 1_767_225_600_000, relaxed: true, offset: 1_020 },
  after: [3.25, 4_294_967_296],
};
const search = ['contacts', 'ada', ['acme'], 'shown'];
const secret = 's'.repeat(32);

describe('cursors of a search', () => {
  const cursors = createCursors(secret);

  it('give back what was sealed, with and without sort values', () => {
    expect(cursors.open(cursors.seal(position, search), search)).toEqual(position);
    const shallow: Position = { ...position, after: undefined };
    expect(cursors.open(cursors.seal(shallow, search), search)).toEqual(shallow);
  });

  it('are good at another process with the same secret only', () => {
    const cursor = cursors.seal(position, search);
    expect(createCursors(secret).open(cursor, search)).toEqual(position);
    expect(createCursors('t'.repeat(32)).open(cursor, search)).toBeUndefined();
    expect(
      createCursors('').open(createCursors('').seal(position, search), search),
    ).toBeUndefined();
  });

  it.each([
    ['another tenant', ['contacts', 'ada', ['globex'], 'shown']],
    ['more tenants', ['contacts', 'ada', ['acme', 'globex'], 'shown']],
    ['everybody', ['contacts', 'ada', '*', 'shown']],
    ['another query', ['contacts', 'bob', ['acme'], 'shown']],
    ['other rights', ['contacts', 'ada', ['acme'], 'masked']],
  ])('are refused for %s', (_what, other) => {
    expect(cursors.open(cursors.seal(position, search), other)).toBeUndefined();
  });

  it('are refused when a single bit is another, or anything is missing', () => {
    const bytes = Buffer.from(cursors.seal(position, search), 'base64url');
    for (let at = 0; at < bytes.length; at += 1) {
      const altered = Buffer.from(bytes);
      altered[at] = (altered[at] ?? 0) ^ 1;
      expect(cursors.open(altered.toString('base64url'), search)).toBeUndefined();
      expect(cursors.open(bytes.toString('base64url', 0, at), search)).toBeUndefined();
    }
    for (const text of ['', '=', 'a b', '€']) expect(cursors.open(text, search)).toBeUndefined();
  });
});
