import { describe, expect, it } from 'vitest';
import { ReachflowError } from '../errors.ts';
import { deadLetter, deadLetterInfo, fingerprint } from './dead-letter.ts';

const error = (message: string) =>
  new ReachflowError(message, { code: 'VALIDATION', domain: 'user' });
const record = {
  offset: 42n,
  timestamp: 1_000,
  key: Buffer.from('k'),
  value: Buffer.from([0, 0, 0, 0, 7, 0xff, 0x00]),
  headers: { trace: Buffer.from('abc') },
};
const failure = {
  topic: 'contact.golden' as const,
  partition: 3,
  record,
  consumer: 'postgres',
  step: 'write',
  error: error('row "x" is bad'),
  attempts: 2,
  firstFailure: 5,
};

/** As a reader of the DLQ gets it: headers are bytes there. */
function reread({ key, value, headers = {}, timestamp = 0 }: ReturnType<typeof deadLetter>) {
  const bytes = Object.entries(headers).map(([name, header]) => [name, Buffer.from(header)]);
  return {
    offset: 0n,
    timestamp,
    key: key === null ? null : Buffer.from(key),
    value,
    headers: Object.fromEntries(bytes) as Record<string, Buffer>,
  };
}

describe('a dead letter', () => {
  it('keeps key, value and headers to the byte, in the same partition', () => {
    const letter = deadLetter(failure);
    expect(letter).toMatchObject({ topic: 'contact.golden.postgres.dlq', partition: 3 });
    expect(letter.key).toBe(record.key);
    expect(letter.value).toBe(record.value);
    expect(letter.headers?.['trace']).toBe(record.headers.trace);
  });

  it('says where it came from and why', () => {
    expect(deadLetterInfo(reread(deadLetter(failure)))).toMatchObject({
      topic: 'contact.golden',
      partition: 3,
      offset: '42',
      consumer: 'postgres',
      step: 'write',
      code: 'VALIDATION',
      message: 'row "x" is bad',
      attempts: 2,
      firstFailure: 5,
      schemaId: '7',
      replayCount: 0,
    });
  });

  it('keeps the first failure when a redriven record fails again', () => {
    const again = { ...failure, record: reread(deadLetter(failure)), firstFailure: 99 };
    expect(deadLetterInfo(reread(deadLetter(again))).firstFailure).toBe(5);
  });

  it('has one fingerprint for failures that differ in values only', () => {
    const of = (message: string) => fingerprint('p', 't', 's', error(message));
    expect(of('row 17 "a" is bad')).toBe(of('row 9 "bb" is bad'));
    expect(of('row 17 is bad')).not.toBe(of('row 17 is worse'));
  });
});
