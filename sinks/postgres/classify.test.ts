import pg from 'pg';
import { describe, expect, it } from 'vitest';
import { classifyOpen, classifyWrite } from './classify.ts';

function sqlError(code: string, message = 'it failed'): pg.DatabaseError {
  const error = new pg.DatabaseError(message, message.length, 'error');
  error.code = code;
  return error;
}

function connectionError(code: string): Error {
  return Object.assign(new Error(`connect ${code}`), { code });
}

describe('classification of Postgres errors', () => {
  for (const state of [
    '22001',
    '22003',
    '22008',
    '22021',
    '22P02',
    '22P05',
    '23502',
    '23514',
    '54000',
    'P0001',
  ]) {
    it(`${state} is the record's fault`, () => {
      const result = classifyWrite(sqlError(state));
      expect(result).toMatchObject({
        status: 'rejected',
        error: { code: 'POSTGRES_REJECTED', domain: 'user', retry: 'none' },
      });
      if (result.status === 'rejected') expect(result.error.message).toContain(state);
    });
  }

  for (const state of ['23503', '23505', '23P01']) {
    it(`${state} is the record's, and may heal`, () => {
      expect(classifyWrite(sqlError(state))).toMatchObject({
        status: 'retry',
        of: 'record',
        error: { code: 'POSTGRES_CONFLICT', domain: 'user', retry: 'backoff' },
      });
    });
  }

  const storeStates = [
    '08006',
    '25006',
    '28P01',
    '40001',
    '40P01',
    '42501',
    '42P01',
    '42P10',
    '53100',
    '53300',
    '55P03',
    '57014',
    '57P01',
    '57P03',
    '58030',
    'XX000',
    '21000',
  ];
  for (const state of storeStates) {
    it(`${state} is the store's`, () => {
      expect(classifyWrite(sqlError(state))).toMatchObject({
        status: 'retry',
        of: 'store',
        error: { code: 'POSTGRES_REFUSED', domain: 'external', retry: 'backoff' },
      });
    });
  }

  it('an error without SQLSTATE is the connection’s, even when its code looks like one', () => {
    for (const error of [
      connectionError('ECONNREFUSED'),
      connectionError('22003'),
      'text',
      undefined,
    ]) {
      expect(classifyWrite(error)).toMatchObject({
        status: 'retry',
        of: 'store',
        error: { code: 'POSTGRES_UNAVAILABLE' },
      });
    }
  });

  it('does not quote a whole row, nor the detail that has one', () => {
    const error = sqlError('23514', 'x'.repeat(10_000));
    error.detail = 'Failing row contains (secret)';
    const result = classifyWrite(error);
    if (result.status !== 'rejected') throw new Error('not rejected');
    expect(result.error.message.length).toBeLessThan(400);
    expect(result.error.message).not.toContain('secret');
  });

  it('open gives up on wrong settings only', () => {
    for (const state of ['28P01', '28000', '3D000', '42501']) {
      expect(classifyOpen(sqlError(state))).toMatchObject({
        code: 'POSTGRES_SETTINGS',
        retry: 'none',
      });
    }
    for (const error of [sqlError('57P03'), sqlError('53300'), connectionError('ENOTFOUND')]) {
      expect(classifyOpen(error)).toMatchObject({ retry: 'backoff' });
    }
  });
});
