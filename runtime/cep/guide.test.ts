import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type GuideFiles, writeGuideFiles } from '../../tests/support/guide-files.ts';
import { event, SECOND, T0 } from '../testing/samples.ts';
import { TopologyTestDriver } from '../testing/topology-test-driver.ts';
import type { Topology } from '../topology/graph.ts';
import { Matcher } from './matcher.ts';
import type { AnyPattern } from './pattern.ts';

interface Example {
  readonly signInsPipeline: Topology;
  readonly guessed: AnyPattern;
  readonly abandonedTrial: AnyPattern;
}

describe('docs/guides/patterns.md', () => {
  let guide: GuideFiles;
  let example: Example;
  beforeAll(async () => {
    guide = await writeGuideFiles('docs/guides/patterns.md');
    example = (await import(join(guide.dir, 'topology.ts'))) as Example;
  }, 60_000);
  afterAll(() => guide.remove());

  it('has an example that finds what it says', async () => {
    expect(guide.files).toEqual(['topology.ts']);
    const driver = await TopologyTestDriver.open(example.signInsPipeline);
    const types = ['login.failed', 'login.failed', 'page.seen', 'login.failed', 'login.ok'];
    for (const [index, event_type] of types.entries()) {
      const occurred_at = T0 + index * SECOND;
      const value = event({ event_id: String(index), event_type, occurred_at });
      await driver.pipe('event.recorded', 'k', value, { timestamp: occurred_at });
    }
    await driver.advanceWatermark(T0 + 60 * SECOND);
    const found = driver.readValues('alert.raised').map((alert) => alert?.alert_id);
    expect(found).toEqual([`guessed:t:${T0}`]);
    await driver.close();
  });

  it('has patterns that compile', () => {
    const limits = { partialMatches: 1, events: 1 };
    for (const pattern of [example.guessed, example.abandonedTrial])
      expect(() => new Matcher(pattern, limits)).not.toThrow();
  });
});
