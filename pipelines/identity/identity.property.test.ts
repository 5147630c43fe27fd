import fc from 'fast-check';
import { expect, it } from 'vitest';
import { TopologyTestDriver } from '../../runtime/testing/topology-test-driver.ts';
import type { ContactObserved } from '../../schemas/types.ts';
import { BLOCKS, Blocker, blockWorth, CANDIDATE } from './matching/blocking.ts';
import { MATCH_BITS, matchBits } from './matching/score.ts';
import { memberOf } from './resolve/golden.ts';
import { KnownRecord } from './resolve/known-record.ts';
import { identityPipeline } from './topology.ts';

const OUTPUTS = [
  'contact.unified',
  'contact.created',
  'contact.updated',
  'contact.merged',
  'contact.deleted',
  'contact.held_back',
] as const;

/** Few values, so that records match, stop matching, and hang together by others. */
const observation = fc.record({
  tenant_id: fc.constantFrom('t', 't', 't', 'u'),
  source: fc.constantFrom('cdc:contacts', 'webhook:form'),
  source_id: fc.constantFrom('1', '2', '3', '4'),
  is_deleted: fc.constantFrom(false, false, false, true),
  given_name: fc.constantFrom('Ada', 'Adah', 'Grace', null),
  family_name: fc.constantFrom('Lovelace', 'Lovelase', 'Hopper'),
  email: fc.constantFrom('ada@example.com', 'ada+x@example.com', 'grace@example.org', null),
  phone: fc.constantFrom('+4915112345678', '+12133734253', null),
  birth_date: fc.constantFrom('1815-12-10', '1815-12-01', null),
  city: fc.constantFrom('London', 'New York', null),
});

function observed(input: Readonly<Partial<ContactObserved>>, n: number): ContactObserved {
  const { given_name = null, family_name = null } = input;
  return {
    tenant_id: '',
    source: '',
    source_id: '',
    email: null,
    phone: null,
    birth_date: null,
    city: null,
    is_deleted: false,
    street: null,
    locality: null,
    region: null,
    postcode: null,
    country: null,
    company: null,
    company_domain: null,
    ...input,
    given_name,
    family_name,
    full_name: [given_name, family_name].filter((part) => part !== null).join(' '),
    version: BigInt(n),
    is_snapshot: false,
    tags: [],
    created_at: null,
    updated_at: 1_000 * n,
    quality: 0.5,
  };
}

interface Run {
  /** What each output says, in order. */
  readonly outputs: unknown;
  /** Members of each contact that there is, by tenant. */
  readonly contacts: readonly string[];
}

async function run(records: readonly ContactObserved[], cuts: readonly number[]): Promise<Run> {
  const driver = await TopologyTestDriver.open(identityPipeline, { maxEpochRecords: 5 });
  try {
    let from = 0;
    for (const [i, cut] of [...cuts, records.length].entries()) {
      const to = Math.max(from, Math.min(cut, records.length));
      const batch = records.slice(from, to).map((value) => ({ key: value.tenant_id, value }));
      if (i % 3 === 1) driver.crashAt('before-commit');
      await driver.pipeAll('contact.observed', batch);
      if (i % 3 === 2) await driver.crash();
      from = to;
    }
    const outputs = OUTPUTS.map((topic) =>
      driver.readAll(topic).map(({ key, value, headers }) => ({ key, value, headers })),
    );
    const golden = new Map(driver.readAll('contact.unified').map(({ key, value }) => [key, value]));
    const contacts = [...golden.values()].flatMap((contact) =>
      contact === null ? [] : [`${contact.tenant_id}: ${contact.members.join(' ')}`],
    );
    return { outputs, contacts: contacts.sort() };
  } finally {
    await driver.close();
  }
}

/** The contacts that the last word of each source makes: all pairs compared, all that hang together one. */
function recomputed(records: readonly ContactObserved[]): string[] {
  const last = new Map(records.map((r) => [`${r.tenant_id} ${memberOf(r)}`, r]));
  const alive = [...last.values()].filter(({ is_deleted }) => !is_deleted);
  const blocker = new Blocker();
  const known = alive.map((record, i) => {
    const bare = new KnownRecord(i, new Uint32Array(BLOCKS), [], 0, record);
    blocker.block(record.tenant_id, bare.match);
    return new KnownRecord(i, blocker.blocks.slice(), [], 0, record);
  });
  const groups = known.map((record) => new Set([record]));
  for (const a of known) {
    for (const b of known) {
      if (a.number >= b.number || a.observed.tenant_id !== b.observed.tenant_id) continue;
      let worth = 0;
      for (const [i, hash] of a.hashes.entries()) {
        if (hash !== 0 && hash === b.hashes[i]) worth += blockWorth(i);
      }
      if (worth < CANDIDATE) continue;
      if (matchBits(a.match, b.match, a.shingles, b.shingles) < MATCH_BITS) continue;
      const [ofA, ofB] = [groups[a.number], groups[b.number]];
      if (ofA === undefined || ofB === undefined || ofA === ofB) continue;
      for (const member of ofB) {
        ofA.add(member);
        groups[member.number] = ofA;
      }
    }
  }
  return [...new Set(groups)]
    .map((group) => {
      const members = [...group].map(({ observed: record }) => memberOf(record)).sort();
      return `${[...group][0]?.observed.tenant_id}: ${members.join(' ')}`;
    })
    .sort();
}

it('is what all sources say last, recomputed; and says the same wherever batches are cut and tasks crash', async () => {
  let merged = 0;
  let split = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.array(observation, { minLength: 5, maxLength: 40 }),
      fc.array(fc.nat({ max: 40 }), { maxLength: 6 }).map((cuts) => cuts.sort((a, b) => a - b)),
      async (inputs, cuts) => {
        const records = inputs.map((input, n) => observed(input, n + 1));
        const whole = await run(records, []);
        expect(whole.contacts).toEqual(recomputed(records));
        expect((await run(records, cuts)).outputs).toEqual(whole.outputs);
        merged += whole.contacts.filter((contact) => contact.split('/').length > 2).length;
        split += JSON.stringify(whole.outputs, (_, v: unknown) =>
          typeof v === 'bigint' ? `${v}` : v,
        ).includes('"split_from":"')
          ? 1
          : 0;
      },
    ),
    { numRuns: 25, seed: 7 },
  );
  // The input is of the kind that it should be.
  expect(merged).toBeGreaterThan(3);
  expect(split).toBeGreaterThan(3);
}, 60_000);
