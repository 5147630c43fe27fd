import { describe, expect, it } from 'vitest';
import { parseAll, parseWhere } from './where.ts';

const record = {
  key: 'k:1',
  headers: { source: Buffer.from('gh') },
  value: {
    tenant_id: 'acme',
    score: 0.5,
    count: 10,
    version: 9_007_199_254_740_993n,
    tags: ['a', 'b'],
    phone: null,
    after: { email: 'ada@example.com' },
  },
};

const cases: readonly (readonly [expression: string, holds: boolean])[] = [
  ['tenant_id=acme', true],
  ['tenant_id = "acme"', true],
  ['value.tenant_id=acme', true],
  ['tenant_id!=acme', false],
  ['tenant_id=other', false],
  ['after.email~@example', true],
  ['after.email~^example', false],
  ['after.email!~^example', true],
  ['score>=0.5', true],
  ['score>0.5', false],
  ['count>9', true],
  ['count<9', false],
  ['version=9007199254740993', true],
  ['version>9007199254740992', true],
  ['tags~"b"', true],
  ['phone=null', true],
  ['phone!=null', false],
  ['missing=null', true],
  ['missing=x', false],
  ['missing!=x', true],
  ['missing<5', false],
  ['toString~native', false],
  ['header.source=gh', true],
  ['header.other=gh', false],
  ['key~^k:', true],
];

describe('--where', () => {
  for (const [expression, holds] of cases) {
    it(`${expression} ${holds ? 'holds' : 'does not hold'}`, () => {
      expect(parseWhere(expression)(record)).toBe(holds);
    });
  }

  it('sees no field of a value that could not be decoded', () => {
    expect(parseWhere('tenant_id=acme')({ ...record, value: undefined })).toBe(false);
  });

  it('wants all of several', () => {
    expect(parseAll(['tenant_id=acme', 'count=10'])(record)).toBe(true);
    expect(parseAll(['tenant_id=acme', 'count=11'])(record)).toBe(false);
    expect(parseAll([])(record)).toBe(true);
  });

  it('refuses what is no expression', () => {
    for (const wrong of ['tenant_id', '=x', 'a~(', 'process.exit()'])
      expect(() => parseWhere(wrong)).toThrow(expect.objectContaining({ code: 'INVALID_WHERE' }));
  });
});
