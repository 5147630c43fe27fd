import { afterAll, describe, expect, it } from 'vitest';
import { ensureTopics } from '../../runtime/kafka/admin.ts';
import { EpochProducer } from '../../runtime/kafka/epoch-producer.ts';
import { partitionOffsets } from '../../runtime/kafka/partition-offsets.ts';
import { eventually, kafkaFixture } from '../../tests/support/kafka.ts';
import { headToJson } from '../head.ts';
import { readHeads, recordHeads } from '../head-log.ts';
import { checkProof, parseProof, proveInclusion } from '../proof-file.ts';
import { verifyPartition } from './partition.ts';
import { isIntact, topicState, verifyTopic } from './topic.ts';

const { client } = kafkaFixture();
const TOPIC = 'history.test';
const plan = { name: TOPIC, partitions: 2, retentionMs: -1, maxMessageBytes: 1_048_576 };
let opened: EpochProducer | undefined;
let end = 0n;
afterAll(() => opened?.close());

/** Transactions of some records each: there is a marker behind each of them. */
async function write(transactions: number, each: number): Promise<number> {
  opened ??= await EpochProducer.open(client, 'history-test', { transactionTimeoutMs: 30_000 });
  await opened.prepare([TOPIC]);
  let committed = 0;
  for (let i = 0; i < transactions; i += 1) {
    const batches = opened.begin();
    for (let j = 0; j < each; j += 1) {
      const value = Buffer.from(`value ${i} ${j}`);
      batches.append(TOPIC, 0, `key ${j}`, value, 1_700_000_000_000 + i, { step: `${i}` });
    }
    await opened.commit(batches, []);
    committed += each;
    end += BigInt(each) + 1n;
  }
  // A marker is written after the commit was answered.
  await eventually('all is stable', async () => {
    return (await partitionOffsets(client, TOPIC, 0)).lastStable === end;
  });
  return committed;
}

describe('a topic', () => {
  it('is proven between the heads that were recorded of it, and one record by itself', async () => {
    await ensureTopics(client, [{ ...plan, cleanup: 'delete' }]);
    const first = await write(4, 25);
    const recorded = await verifyTopic(client, { topic: TOPIC, record: true });
    expect(recorded).toMatchObject({ recorded: 1 });
    expect(isIntact(recorded)).toBe(true);
    const second = await write(3, 25);
    const extended = await verifyTopic(client, { topic: TOPIC, record: true, newOnly: true });
    expect(extended.partitions[0]).toMatchObject({ records: second, faults: [] });
    const whole = await verifyTopic(client, { topic: TOPIC });
    expect(whole.partitions[0]).toMatchObject({
      records: first + second,
      account: { markers: 7, aborted: 0, compacted: 0, missing: 0 },
      faults: [],
      unrecorded: [],
    });
    expect(whole.partitions[0]?.proven).toEqual([{ from: 0n, to: BigInt(first + second + 7) }]);
    const { heads } = await readHeads(client, TOPIC);
    expect(heads.map(({ frontier }) => frontier.size)).toEqual([first, first + second]);
    for (const offset of [0n, 30n, 110n]) {
      const proof = await proveInclusion(client, {
        topic: TOPIC,
        partition: 0,
        offset,
        low: 0n,
        heads,
      });
      const json = parseProof(JSON.parse(JSON.stringify(proof)));
      expect(checkProof(json)).toMatchObject({ holds: true, offset });
      const bytes = Buffer.from(json.leaf, 'base64');
      bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) ^ 1;
      expect(checkProof({ ...json, leaf: bytes.toString('base64') }).holds).toBe(false);
      expect(checkProof(json, '0'.repeat(64)).holds).toBe(false);
    }
    const marker = proveInclusion(client, {
      topic: TOPIC,
      partition: 0,
      offset: 25n,
      low: 0n,
      heads,
    });
    await expect(marker).rejects.toMatchObject({ code: 'RECORD_NOT_FOUND' });
  });

  it('shows a head that was altered, and says that it is the head', async () => {
    const { heads } = await readHeads(client, TOPIC);
    const [one, two] = heads;
    if (one === undefined || two === undefined) throw new Error('two heads were recorded before');
    // Altered as a whole: its frontier leads to its root.
    const forged = { ...one, root: two.root, frontier: two.frontier };
    await recordHeads(client, [forged]);
    const found = await verifyTopic(client, { topic: TOPIC, partitions: [0] });
    expect(found.partitions[0]?.faults).toMatchObject([
      { code: 'HEAD_ALTERED', from: one.nextOffset },
    ]);
    // Altered in part.
    await recordHeads(client, [{ ...one, root: two.root }]);
    const again = await verifyTopic(client, { topic: TOPIC, partitions: [0] });
    expect(again.partitions[0]?.faults).toMatchObject([
      { code: 'HEAD_ALTERED', from: one.nextOffset },
    ]);
    await recordHeads(client, [one]);
    expect(isIntact(await verifyTopic(client, { topic: TOPIC }))).toBe(true);
  });

  it('is found to be another than was recorded, and another topic of its name', async () => {
    const state = await topicState(client, TOPIC);
    const [head] = state.recorded.heads;
    if (head === undefined) throw new Error('a head was recorded before');
    const other = { ...head, topicId: 'A'.repeat(22), nextOffset: head.nextOffset + 1n };
    expect(headToJson(other).topicId).not.toBe(state.topicId);
    const report = await verifyPartition(client, {
      ...{ topic: TOPIC, partition: 0, low: 0n, end: state.offsets[0]?.lastStable ?? 0n },
      ...{ heads: [other], topicId: state.topicId, isCompacted: false },
    });
    expect(report.faults).toMatchObject([{ code: 'TOPIC_REPLACED' }]);
    expect(report.proven).toEqual([]);
  });
});
