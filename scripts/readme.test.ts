import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { formatTopologies } from '../cli/commands/topology.ts';
import { eventsPipeline } from '../pipelines/events/topology.ts';
import { event } from '../runtime/testing/samples.ts';
import { TopologyTestDriver } from '../runtime/testing/topology-test-driver.ts';
import type { Topology } from '../runtime/topology/graph.ts';
import { checkGuideTypes, type GuideFiles, writeGuideFiles } from '../tests/support/guide-files.ts';

const root = join(import.meta.dirname, '..');
const NOON = Date.UTC(2026, 0, 1, 12);
const MINUTE = 60_000;

/** The code and the picture of the README; its commands are run by tests/integration/readme.integration.test.ts. */
describe('README.md', () => {
  let guide: GuideFiles;
  beforeAll(async () => {
    guide = await writeGuideFiles('README.md');
  });
  afterAll(() => guide.remove());

  it('has a topology that does what the README says of it', async () => {
    expect(guide.files).toEqual(['topology.ts']);
    const url = pathToFileURL(join(guide.dir, 'topology.ts')).href;
    const { pushesPipeline } = (await import(url)) as { readonly pushesPipeline: Topology };
    const driver = await TopologyTestDriver.open(pushesPipeline, { startMs: NOON });
    const push = (id: string, at: number, event_type = 'push') => {
      const value = event({ event_id: id, tenant_id: 'acme', event_type, occurred_at: at });
      return driver.pipe('event.recorded', 'acme:repo', value, { timestamp: at });
    };
    try {
      await push('a', NOON);
      await push('a', NOON);
      await push('star', NOON, 'star');
      await push('next', NOON + MINUTE + 29_000);
      await push('late, but within the grace', NOON + 1_000);
      expect(driver.read('metric.tenant.count')).toEqual([]);
      await push('closes', NOON + MINUTE + 30_000);
      await push('too late', NOON + 2_000);
      expect(driver.read('metric.tenant.count')).toMatchObject([
        { key: 'acme', value: { tenant_id: 'acme', window_start: NOON, count: 2 } },
      ]);
      expect(driver.deadLetters().map(({ info }) => info.code)).toEqual(['LATE']);
    } finally {
      await driver.close();
    }
  });

  it('has a topology that passes the type check', { timeout: 60_000 }, () =>
    checkGuideTypes(guide),
  );

  it('has the picture that `reachflow topology events --format mermaid` prints', async () => {
    const readme = await readFile(join(root, 'README.md'), 'utf8');
    const pictures = [...readme.matchAll(/^```mermaid\n(.*?)\n```/gms)].map(([, text]) => text);
    expect(pictures).toEqual([formatTopologies([eventsPipeline], 'mermaid')]);
  });
});
