import { describe, expect, it } from 'vitest';
import { deadLetter, deadLetterInfo } from '../../runtime/delivery/dead-letter.ts';
import type { DeadLetter } from '../../runtime/delivery/letter.ts';
import { ReachflowError } from '../../runtime/errors.ts';
import type { FoundDeadLetter } from '../verify/facts.ts';
import { toStoredContact } from './contact-row.ts';
import { addLetter } from './dead-letters.ts';
import { valueDigest } from './source-topics.ts';

const AT = Date.UTC(2026, 0, 2, 3, 4, 5, 678);

const row = {
  id: '7',
  tenant_id: 'acme',
  full_name: 'Ada Hopper',
  email: 'ada@example.com',
  phone: null,
  company_id: '5',
  company: 'Blue Labs',
  company_domain: null,
  industry: 'food',
  tags: ['vip'],
};

describe('toStoredContact', () => {
  it('reads the same contact from what each of the three clients returns', () => {
    const postgres = {
      ...row,
      score: null,
      created_at: new Date(AT),
      updated_at: new Date(AT),
      version: '99',
    };
    const iso = new Date(AT).toISOString();
    const clickhouse = { ...row, created_at: iso, updated_at: iso, version: '99', is_deleted: 0 };
    const elasticsearch = { ...row, created_at: AT, updated_at: AT, version: 99 };
    const [first, ...others] = [postgres, clickhouse, elasticsearch].map(toStoredContact);
    for (const other of others) expect(other).toEqual(first);
    const { id, ...fields } = row;
    const state = { ...fields, created_at: AT, updated_at: AT };
    expect(first).toEqual([id, { state, version: 99n }]);
  });

  it('refuses a row that is none', () => {
    expect(() => toStoredContact({ ...row, email: 1 })).toThrow('email');
  });
});

describe('addLetter', () => {
  const record = {
    offset: 41n,
    timestamp: AT,
    key: Buffer.from('k'),
    value: Buffer.from('bytes'),
    headers: {},
  };

  function letter(): DeadLetter {
    const outgoing = deadLetter({
      topic: 'webhook.received',
      partition: 2,
      record,
      consumer: 'events',
      step: 'decode',
      error: new ReachflowError('cannot be read', { code: 'UNDECODABLE', domain: 'user' }),
      attempts: 1,
      firstFailure: AT,
    });
    const headers = Object.fromEntries(
      Object.entries(outgoing.headers ?? {}).map(([name, value]) => [name, Buffer.from(value)]),
    );
    const written = { ...record, headers, value: outgoing.value };
    const info = deadLetterInfo(written);
    return { dlq: outgoing.topic, dlqPartition: 2, dlqOffset: 0n, info, record: written };
  }

  it('finds everything in what the product writes', () => {
    const found = new Map<string, FoundDeadLetter>();
    addLetter(found, letter());
    expect([...found]).toEqual([
      [
        'webhook.received.events.dlq|webhook.received/2/41',
        {
          topic: 'webhook.received',
          code: 'UNDECODABLE',
          message: 'cannot be read',
          digest: valueDigest(record.value),
          missingHeaders: [],
          copies: 1,
        },
      ],
    ]);
  });

  it('counts copies and misses headers', () => {
    const found = new Map<string, FoundDeadLetter>();
    const second = letter();
    addLetter(found, letter());
    addLetter(found, { ...second, record: { ...second.record, headers: {} } });
    const [only] = found.values();
    expect(only?.copies).toBe(2);
    expect(only?.missingHeaders).toContain('fingerprint');
  });
});
