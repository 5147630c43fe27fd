import { describe, expect, it } from 'vitest';
import { company, contact, NOW, record, soundFacts, webhook } from '../testing/history.ts';
import { verify } from './verify.ts';

type Sound = ReturnType<typeof soundFacts>;

/** Titles of the checks that fail once `damage` was done. */
function failing(damage: (facts: Sound) => void): string[] {
  const facts = soundFacts();
  damage(facts);
  return verify(facts)
    .filter(({ ok }) => !ok)
    .map(({ title }) => title);
}

function firstKey<V>(map: ReadonlyMap<string, V>): string {
  const [key] = map.keys();
  if (key === undefined) throw new Error('nothing to damage');
  return key;
}

/** Changes one entry of a map. */
function alter<V>(map: Map<string, V>, key: string, change: (value: V) => V): void {
  const value = map.get(key);
  if (value === undefined) throw new Error(`no ${key} to damage`);
  map.set(key, change(value));
}

describe('verify', () => {
  it('passes when everything adds up', () => {
    const checks = verify(soundFacts());
    expect(checks.filter(({ ok }) => !ok)).toEqual([]);
    expect(checks).toHaveLength(16);
    const sum = checks.find(({ title }) => title.startsWith('Webhooks: in ='));
    expect(sum?.numbers).toBe('5 = 3 + 1 + 1');
  });

  it.each<[string, (facts: Sound) => void, string[]]>([
    [
      'an accepted webhook that is in no store',
      ({ storedEvents }) => storedEvents.delete('shop:b'),
      [
        'Each accepted webhook is in ClickHouse, unaltered',
        'Webhooks: in = stored + duplicates + rejected',
        'Events in ClickHouse, each exactly once',
      ],
    ],
    [
      'an event that nobody sent',
      ({ storedEvents }) => {
        const event = storedEvents.get('shop:a');
        if (event !== undefined) storedEvents.set('shop:z', event);
      },
      ['Webhooks: in = stored + duplicates + rejected', 'Events in ClickHouse, each exactly once'],
    ],
    [
      'an event twice',
      ({ storedEvents }) => alter(storedEvents, 'shop:c', (event) => ({ ...event, copies: 2 })),
      ['Webhooks: in = stored + duplicates + rejected', 'Events in ClickHouse, each exactly once'],
    ],
    [
      'an altered payload',
      ({ storedEvents }) =>
        alter(storedEvents, 'shop:a', (event) => ({ ...event, payloadDigest: 'other' })),
      [
        'Each accepted webhook is in ClickHouse, unaltered',
        'Events in ClickHouse, each exactly once',
      ],
    ],
    [
      'an event at another time',
      ({ storedEvents }) =>
        alter(storedEvents, 'shop:c', (event) => ({ ...event, occurredAt: NOW + 1 })),
      ['Events in ClickHouse, each exactly once'],
    ],
    [
      'an inserted row that became no event',
      ({ storedEvents }) => storedEvents.delete('cdc:events:1'),
      [
        'Inserted events: in = stored + duplicates + rejected',
        'Events in ClickHouse, each exactly once',
      ],
    ],
    [
      'a wrong count',
      ({ storedCounts }) => alter(storedCounts, firstKey(storedCounts), (count) => count + 1),
      ['Counts per tenant and minute'],
    ],
    [
      'a missing count',
      ({ storedCounts }) => storedCounts.delete(firstKey(storedCounts)),
      ['Counts per tenant and minute'],
    ],
    [
      'a refused webhook that came in',
      ({ events }) => events.webhook(record(webhook('x'))),
      [
        'Nothing came of refused webhooks',
        'Webhooks: in = stored + duplicates + rejected',
        'Events in ClickHouse, each exactly once',
        'Counts per tenant and minute',
      ],
    ],
    [
      'a wrong status',
      ({ ledger }) => {
        const delivery = { source: 'shop', deliveryId: 'y', body: Buffer.from('') };
        const rest = { kind: 'too large', expected: 413, sends: 1, headers: () => ({}) } as const;
        ledger.answered({ ...delivery, ...rest }, 500, false);
      },
      ['Requests were answered as they must be'],
    ],
    [
      'a change that was never captured',
      ({ source }) => alter(source.contacts, '1', (row) => ({ ...row, email: 'new@example.com' })),
      ['Table contacts = its change events'],
    ],
    [
      'a company that was never captured',
      ({ source }) =>
        source.companies.set('9', {
          id: 9,
          tenant_id: 'a',
          name: 'n',
          domain: null,
          industry: null,
        }),
      ['Table companies = its change events'],
    ],
    [
      'an event row that was never captured',
      ({ source }) => source.events.set('9', 'row'),
      ['Table events = its change events'],
    ],
  ])('finds %s', (_what, damage, titles) => {
    expect(failing(damage)).toEqual(titles);
  });

  it.each([
    ['postgres', 'Postgres'],
    ['clickhouse', 'ClickHouse'],
    ['elasticsearch', 'Elasticsearch'],
  ] as const)('finds what is wrong with the contacts in %s', (store, name) => {
    const title = `Contacts in ${name}`;
    const others = (facts: Sound) => facts.storedContacts[store];
    const stale = failing((facts) =>
      alter(others(facts), '1', (found) => ({
        ...found,
        state: { ...found.state, company: 'Blue Labs' },
      })),
    );
    const lost = failing((facts) => others(facts).delete('2'));
    const undead = failing((facts) => {
      const found = others(facts).get('1');
      if (found !== undefined) others(facts).set('3', found);
    });
    const old = failing((facts) =>
      alter(others(facts), '1', (found) => ({ ...found, version: 1n })),
    );
    for (const titles of [stale, lost, undead, old]) {
      expect(titles).toContain(title);
      expect(titles.filter((other) => other.startsWith('Contacts in '))).toEqual([title]);
      expect(titles.some((other) => other.startsWith('Same versions'))).toBe(true);
    }
  });

  it('finds one store ahead of the others, even where each looks right by itself', () => {
    const titles = failing(({ storedContacts }) =>
      alter(storedContacts.elasticsearch, '1', (found) => ({ ...found, version: 99n })),
    );
    expect(titles).toEqual(['Same versions: Elasticsearch as Postgres']);
  });

  it.each<[string, (facts: Sound) => void]>([
    ['missing', ({ deadLetters }) => deadLetters.delete(firstKey(deadLetters))],
    [
      'of a good record',
      ({ deadLetters }) => {
        const letter = deadLetters.get(firstKey(deadLetters));
        if (letter !== undefined) deadLetters.set('contact.golden.postgres.dlq|x/0/1', letter);
      },
    ],
    [
      'twice',
      ({ deadLetters }) =>
        alter(deadLetters, firstKey(deadLetters), (letter) => ({ ...letter, copies: 2 })),
    ],
    [
      'altered',
      ({ deadLetters }) =>
        alter(deadLetters, firstKey(deadLetters), (letter) => ({ ...letter, digest: 'other' })),
    ],
    [
      'without a header',
      ({ deadLetters }) =>
        alter(deadLetters, firstKey(deadLetters), (letter) => ({
          ...letter,
          missingHeaders: ['offset'],
        })),
    ],
    [
      'without one of its reasons',
      ({ deadLetters }) => {
        const key = [...deadLetters.keys()].find((name) => name.includes('contacts.dlq')) ?? '';
        alter(deadLetters, key, (letter) => ({ ...letter, message: 'email is no address' }));
      },
    ],
  ])('finds a dead letter that is %s', (_what, damage) => {
    expect(failing(damage)).toContain('Dead letters, each with its reasons');
  });

  it('lets stores keep what retention took from the topics, but nothing else', () => {
    const older = (facts: Sound) => {
      const event = facts.storedEvents.get('shop:a');
      if (event === undefined) throw new Error('no event');
      facts.storedEvents.set('shop:old', event);
      alter(
        facts.storedCounts,
        `acme@${event.occurredAt - (event.occurredAt % 60_000)}`,
        (n) => n + 1,
      );
    };
    expect(failing(older)).not.toEqual([]);
    const truncate = (facts: Sound) => facts.truncated.add('webhook.received');
    expect(
      failing((facts) => {
        older(facts);
        truncate(facts);
      }),
    ).toEqual([]);
    expect(
      failing((facts) => {
        truncate(facts);
        facts.storedEvents.delete('shop:c');
      }),
    ).toContain('Events in ClickHouse, each exactly once');
  });

  it('takes a company from its table when its change events are gone', () => {
    const facts = soundFacts();
    facts.contacts.company(company('d', 5, 'Blue Foods', 20n));
    expect(facts.contacts.expected().get('1')?.state.company).toBeNull();
    const table = new Map([
      ['5', { id: 5, tenant_id: 'acme', name: 'Kept', domain: null, industry: null }],
    ]);
    expect(facts.contacts.expected(table).get('1')?.state.company).toBe('Kept');
  });

  it('keeps the last valid state through invalid versions, and forgets it on delete', () => {
    const { contacts } = soundFacts();
    expect(contacts.expected().get('2')?.state).toMatchObject({
      full_name: 'Ada Hopper',
      email: 'ada@example.com',
    });
    contacts.contact(contact('d', { id: 2 }, 30n));
    expect(contacts.expected().has('2')).toBe(false);
  });
});
