import { ClickHouseError } from '@clickhouse/client';
import { describe, expect, it } from 'vitest';
import { classifyOpen, classifyWrite } from './classify.ts';

const serverError = (code: string) =>
  new ClickHouseError({ message: 'it failed', code, type: 'TYPE' });

describe('classification of ClickHouse errors', () => {
  for (const code of ['6', '27', '41', '72', '349', '469']) {
    it(`${code} is the record's fault`, () => {
      expect(classifyWrite(serverError(code))).toMatchObject({
        status: 'rejected',
        error: { code: 'CLICKHOUSE_REJECTED', domain: 'user', retry: 'none' },
      });
    });
  }

  // Table gone, read-only, query killed, memory, parts, queries, disk, credentials, and one unheard of.
  for (const code of ['16', '60', '117', '164', '159', '241', '252', '202', '243', '516', '9999']) {
    it(`${code} is the store's`, () => {
      expect(classifyWrite(serverError(code))).toMatchObject({
        status: 'retry',
        of: 'store',
        error: { code: 'CLICKHOUSE_REFUSED', domain: 'external', retry: 'backoff' },
      });
    });
  }

  it('a connection error is nobody’s record, even with the number of one', () => {
    for (const code of ['ECONNREFUSED', '469']) {
      expect(classifyWrite(Object.assign(new Error('x'), { code }))).toMatchObject({
        status: 'retry',
        of: 'store',
        error: { code: 'CLICKHOUSE_UNAVAILABLE' },
      });
    }
  });

  it('open gives up on wrong settings only', () => {
    expect(classifyOpen(serverError('516'))).toMatchObject({ retry: 'none' });
    expect(classifyOpen(serverError('497'))).toMatchObject({ code: 'CLICKHOUSE_SETTINGS' });
    expect(classifyOpen(serverError('241'))).toMatchObject({ retry: 'backoff' });
    expect(classifyOpen(new Error('Timeout error.'))).toMatchObject({ retry: 'backoff' });
  });
});
