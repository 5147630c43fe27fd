import { describe, expect, it } from 'vitest';
import { termsOf } from './terms.ts';

const of = (text: string, contactData = true) =>
  termsOf(text, { contactData }).map(({ kind, text: term }) => `${kind}:${term}`);

describe('terms of a search', () => {
  it.each([
    ['Ada  Lovelace', ['word:Ada', 'word:Lovelace']],
    ['Müller-Ångström', ['word:Müller', 'word:Ångström']],
    ["O'Brien acme.example", ["word:O'Brien", 'word:acme.example']],
    ['Ada@Example.com lovelace', ['email:Ada@Example.com', 'word:lovelace']],
    ['+49 (0151) 123-456', ['phone:490151123456']],
    ['0049 151 123456', ['phone:49151123456']],
    ['Building 42', ['word:Building', 'word:42']],
    ['李小龍', ['word:李小龍']],
  ])('%s', (text, expected) => expect(of(text)).toEqual(expected));

  it('has no syntax', () => {
    expect(of('tenant_id:other OR *:* "a" (b)~2')).toEqual([
      ...['word:tenant', 'word:id', 'word:other', 'word:OR'],
      ...['word:a', 'word:b', 'word:2'],
    ]);
  });

  it('knows no addresses and numbers for who may not see them', () => {
    expect(of('ada@example.com', false)).toEqual(['word:ada', 'word:example.com']);
    expect(of('+4915112345', false)).toEqual(['word:4915112345']);
  });

  it.each([
    ['nothing', ''],
    ['only marks', ' ..*?"'],
    ['half of a surrogate pair', 'a\ud83d'],
    ['too long', 'x'.repeat(201)],
    ['too many words', 'a b c d e f g h i'],
  ])('%s is refused', (_what, text) => {
    expect(() => of(text)).toThrowError(expect.objectContaining({ code: 'QUERY_INVALID' }));
  });
});
