import { describe, expect, it } from 'vitest';
import { readContact } from './contact.ts';
import { contact, contactRecord } from './fixtures.ts';

describe('readContact', () => {
  it('takes a contact and a tombstone', () => {
    expect(readContact(contactRecord('1', 7n)).row).toEqual(contact('1', 7n));
    expect(readContact(contactRecord('1', 7n, null)).row).toBeNull();
  });

  const cases: readonly [string, ReturnType<typeof contactRecord>, RegExp][] = [
    ['an empty key', { ...contactRecord('', 1n), key: '' }, /key is empty/],
    ['a key that is not the id', { ...contactRecord('1', 1n), key: '2' }, /id is not its key/],
    ['a negative version', contactRecord('1', -1n), /version -1/],
    ['a version of 64 bits', contactRecord('1', 2n ** 63n), /63-bit/],
    ['a missing field', { ...contactRecord('1', 1n), value: { id: '1' } }, /full_name/],
    ['half of a surrogate pair', contactRecord('1', 1n, { email: '\ud83d' }), /email/],
    ['half of one in a list', contactRecord('1', 1n, { tags: ['a', '\udc00'] }), /tags/],
    ['half of one in a key', contactRecord('\ud83d', 1n, null), /key/],
    ['a number that JSON has not', contactRecord('1', 1n, { score: Number.NaN }), /score is NaN/],
  ];
  for (const [name, record, why] of cases) {
    it(`refuses ${name}`, () => {
      const { error } = readContact(record);
      expect(error).toMatchObject({ code: 'INVALID_RECORD', domain: 'user', retry: 'none' });
      expect(error?.message).toMatch(why);
    });
  }

  it('quotes no more than the beginning of a long list of faults', () => {
    const { error } = readContact({ ...contactRecord('1', 1n), value: {} });
    expect(error?.message.length).toBeLessThan(500);
  });
});
