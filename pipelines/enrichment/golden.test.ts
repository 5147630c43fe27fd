import { readFile } from 'node:fs/promises';
import { expect, it } from 'vitest';
import { systemClock } from '../../runtime/delivery/clock.ts';
import { TopologyTestDriver } from '../../runtime/testing/topology-test-driver.ts';
import type { TopicName } from '../../schemas/topics.ts';
import type { Contact } from '../../schemas/types.ts';
import { enrichmentConfigSchema } from './config.ts';
import { inProcessProviders } from './testing/in-process.ts';
import { createEnrichmentPipeline } from './topology.ts';

const OUTPUTS = [
  'enrichment.requested',
  'contact.enriched',
  'enrichment.completed',
  'enrichment.answered',
] as const satisfies readonly TopicName[];

type Golden = Pick<Contact, 'id' | 'email' | 'company' | 'company_domain' | 'industry'> & {
  readonly version: string;
  readonly deleted?: true;
};

const fast = { lingerMs: 0, requestsPerSecond: 10_000 };
const config = enrichmentConfigSchema.parse({
  ...{ patienceMs: 5_000, company: fast, person: fast, verification: fast },
});

/** Plain JSON: bigint as text, no class names. */
function plain(value: unknown): unknown {
  const text = JSON.stringify(value, (_, part) => (typeof part === 'bigint' ? String(part) : part));
  return JSON.parse(text);
}

it('makes of golden/input.json what golden/output.json has, to the record', async () => {
  const golden = async (name: string): Promise<unknown> =>
    JSON.parse(await readFile(new URL(`./golden/${name}.json`, import.meta.url), 'utf8'));
  const pipeline = createEnrichmentPipeline(config, inProcessProviders(), {
    ...systemClock,
    now: () => driver.now,
  });
  const driver = await TopologyTestDriver.open(pipeline);
  try {
    for (const { deleted, version, ...contact } of (await golden('input')) as Golden[]) {
      const headers = { 'reachflow.version': version };
      if (deleted) await driver.pipeTombstone('contact.golden', contact.id, { headers });
      else
        await driver.pipe('contact.golden', contact.id, {
          ...{ tenant_id: 'acme', full_name: 'Somebody', phone: null, company_id: null },
          ...{ tags: [], score: null, created_at: 0, updated_at: 0 },
          ...contact,
          version: BigInt(version),
        });
      await driver.advanceWallClock(60_000);
    }
    const written = Object.fromEntries(
      OUTPUTS.map((topic) => [
        topic,
        driver.readAll(topic).map(({ key, value }) => ({ key, value: plain(value) })),
      ]),
    );
    expect(driver.deadLetters()).toEqual([]);
    expect(written).toEqual(await golden('output'));
  } finally {
    await driver.close();
  }
});
