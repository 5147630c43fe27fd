import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { eventually, kafkaFixture, testLogger } from '../../tests/support/kafka.ts';
import { ensureTopics } from '../kafka/admin.ts';
import { readTopic } from '../kafka/reader.ts';
import { spoolConfigSchema } from './config.ts';
import { openSpool, type Spool } from './open-spool.ts';
import { encodeSpooled } from './record.ts';
import { SegmentLog } from './segment-log.ts';

const TOPIC = 'webhook.received';

let dir: string;
const opened: Spool[] = [];
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'reachflow-places-'));
});
afterEach(async () => {
  for (const spool of opened.splice(0)) await spool.close();
  rmSync(dir, { recursive: true, force: true });
});

const fixture = kafkaFixture();

async function open(): Promise<Spool> {
  const config = spoolConfigSchema.parse({ dir });
  const spool = await openSpool({ ...fixture, topic: TOPIC, config, logger: testLogger });
  opened.push(spool);
  return spool;
}

function publish(spool: Spool, id: string): Promise<void> {
  const value = {
    ...{ event_id: id, tenant_id: 't', source: 's', event_type: 'e', delivery_id: id },
    ...{ entity_id: 'x', occurred_at: null, received_at: 1, payload: '{}' },
  };
  return spool.publish(TOPIC, { key: 'k', value });
}

/** Keys of what is in the topic, in order: all are on one partition. */
async function stored(): Promise<string[]> {
  const found: string[] = [];
  await readTopic(fixture.client, {
    topic: TOPIC,
    onRecord: ({ key, timestamp }) => void found.push(`${key} ${timestamp}`),
  });
  return found;
}

describe('a directory of spools', { timeout: 60_000 }, () => {
  it('has a place for each process; what is left in one is drained, before what comes, by whoever there is', async () => {
    const plan = { partitions: 1, cleanup: 'delete' as const, retentionMs: -1 };
    for (const place of ['0', '3']) {
      const log = await SegmentLog.open({
        ...{ dir: join(dir, place), maxBytes: 1e6, segmentBytes: 1e5, logger: testLogger },
      });
      const value = Buffer.from('old');
      for (let i = 0; i < 3; i += 1)
        await log.append(encodeSpooled({ topic: TOPIC, key: `left-in-${place}`, value }, i));
      await log.close();
    }
    const first = await open();
    const second = await open();
    expect(readdirSync(dir).toSorted()).toEqual(['0', '1', '3']);
    expect(first.standing).toMatchObject({ mode: 'spooling', records: 3 });
    expect(second.standing).toMatchObject({ mode: 'direct', records: 0 });
    // Accepted while its topic is not there.
    await publish(first, 'new');
    expect(first.standing.records).toBe(4);
    await ensureTopics(fixture.client, [{ ...plan, name: TOPIC, maxMessageBytes: 1_048_576 }]);
    await eventually('drained', () => first.standing.mode === 'direct');
    await eventually('adopted', async () => (await stored()).length === 7);
    const found = await stored();
    expect(
      found.filter((key) => !key.startsWith('left-in-3')).map((key) => key.split(' ')[0]),
    ).toEqual(['left-in-0', 'left-in-0', 'left-in-0', 'k']);
    expect(found.filter((key) => key.startsWith('left-in-3'))).toEqual(
      [0, 1, 2].map((i) => `left-in-3 ${i}`),
    );
    await publish(first, 'direct');
    expect(first.standing).toMatchObject({ spooled: 1, drained: 4, records: 0 });
    expect(await stored()).toHaveLength(8);
  });
});
