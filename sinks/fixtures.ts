import { createHash } from 'node:crypto';
import type { SinkBatch, SinkRecord } from '../runtime/delivery/sink.ts';
import type { Contact } from '../schemas/types.ts';

/** A contact with every field filled. */
export function contact(id: string, version: bigint, fields: Partial<Contact> = {}): Contact {
  return {
    id,
    tenant_id: 'acme',
    full_name: 'Zoë Müller-Ångström',
    email: 'Zoe@Example.com',
    phone: '+493012345678',
    company_id: '7',
    company: 'Acme Ltd',
    company_domain: 'acme.example',
    industry: 'tools',
    tags: ['new', 'vip'],
    score: 0.5,
    created_at: 1_767_225_600_123,
    updated_at: 1_767_225_601_456,
    version,
    ...fields,
  };
}

let nextOffset = 0n;

/** A `contact.golden` record of the next offset; null fields make a tombstone. */
export function contactRecord(
  id: string,
  version: bigint,
  fields: Partial<Contact> | null = {},
): SinkRecord {
  const value = fields === null ? null : { ...contact(id, version, fields) };
  const offset = nextOffset++;
  return {
    topic: 'contact.golden',
    partition: 0,
    offset,
    timestamp: 1_767_225_600_000,
    key: id,
    value,
    version,
  };
}

/** Records of one partition as a batch beside the stream: no position moves. Other records are another group. */
export function batchOf(records: readonly SinkRecord[]): SinkBatch {
  const { topic, partition } = records[0] ?? { topic: 'contact.golden', partition: 0 };
  const hash = createHash('sha1');
  for (const { offset, timestamp, key } of records) hash.update(`${offset} ${timestamp} ${key}\n`);
  return { topic, partition, range: undefined, plan: hash.digest('base64url'), records };
}

/** Strings that break careless encoders. */
export const HOSTILE_STRINGS: Readonly<Record<string, string>> = {
  'single and double quotes': `O'Brien "Bobby" \`tick\``,
  'an SQL injection': `'); DROP TABLE contacts_all; --`,
  'JSON syntax': '{"a":["b\\"]},\n{"index":{}}',
  backslashes: '\\ \\\\ \\n \\N \\u0041 \\x00 \\',
  'line breaks and tabs': 'a\nb\r\nc\td\ve\ff',
  'an array literal': '{NULL,"a,b",}',
  'the text null': 'NULL',
  'a placeholder': '$1 {x:String} %s ?',
  emoji: '👩‍👩‍👧‍👦 👍🏽',
  'characters of four bytes': '𝒜𠜎𝄞',
  'right-to-left and combining': 'שָׁלוֹם Z͑ͫ̓a̴',
  'line separators and BOM': '\u2028\u2029\ufeff',
  'control characters': '\u0001\u001f\u007f\u0085',
  'the NUL character': 'a\u0000b',
  'half of a surrogate pair': 'a\ud83d',
  empty: '',
  'white space': '  \t ',
  'very long': 'lorem ipsum '.repeat(25_000),
};
