import { beforeAll, describe, expect, it } from 'vitest';
import { kafkaFixture, testLogger } from '../../tests/support/kafka.ts';
import { deleteRecordsBefore, ensureTopics } from '../kafka/admin.ts';
import { EpochProducer } from '../kafka/epoch-producer.ts';
import { type PartitionOffsets, partitionOffsets } from '../kafka/partition-offsets.ts';
import { bytesSerde, keyValueStore } from '../state/contract.ts';
import { MemoryBackend } from '../state/memory-backend.ts';
import { storesOf, TaskState } from '../state/task-state.ts';
import { restoreFromLog } from './changelog-restore.ts';
import { lineageOf } from './lineage.ts';

const { client } = kafkaFixture();
const TOPIC = 'p.s.changelog';
const STORE = keyValueStore<Buffer>('values', bytesSerde);
/** Three fetches' worth. */
const EPOCHS = 24;
const VALUE = Buffer.alloc(500_000, 1);
let log: PartitionOffsets;

function newState(): TaskState {
  const identity = { namespace: '', pipeline: 'p', subTopology: 's', partition: 0 };
  return new TaskState([STORE], new MemoryBackend({ identity, stores: storesOf([STORE]) }));
}

/** A changelog of an epoch per key, as a task writes it. */
async function write(): Promise<void> {
  const state = newState();
  const lineage = lineageOf(state);
  const producer = await EpochProducer.open(client, 'writer');
  await producer.prepare([TOPIC]);
  for (let epoch = 0; epoch < EPOCHS; epoch += 1) {
    state.store(STORE).set(`k${epoch}`, VALUE);
    const batches = producer.begin();
    for (const segment of state.takeChanges())
      batches.append(TOPIC, 0, lineage, segment, Date.now());
    const result = await producer.commit(batches, []);
    state.committed(result.nextOffset(TOPIC, 0) ?? 0n);
  }
  await producer.close();
  await state.close();
}

function restore(state: TaskState, signal: AbortSignal, from = log): Promise<void> {
  const where = { client, topic: TOPIC, partition: 0, logger: testLogger, metrics: undefined };
  return restoreFromLog({ ...where, state, signal, onProgress: () => undefined }, from);
}

describe('a restore from the changelog', () => {
  beforeAll(async () => {
    const settings = { cleanup: 'delete' as const, retentionMs: -1, maxMessageBytes: 1_048_576 };
    await ensureTopics(client, [{ name: TOPIC, partitions: 1, ...settings }]);
    await write();
    log = await partitionOffsets(client, TOPIC, 0);
  });

  it('ends when its partition goes away; the next one goes on where it was', async () => {
    const state = newState();
    const gone = new AbortController();
    let read = 0;
    const { restore: original } = state;
    state.restore = (segment, nextOffset) => {
      original.call(state, segment, nextOffset);
      read += 1;
      gone.abort(new Error('the partition went away'));
    };
    await expect(restore(state, gone.signal)).rejects.toThrow('the partition went away');
    expect(read).toBeGreaterThan(0);
    expect(read).toBeLessThan(EPOCHS);
    state.flush();
    expect(state.position).toBeGreaterThan(0n);
    const first = read;
    await restore(state, new AbortController().signal);
    expect(read - first).toBe(EPOCHS - first);
    expect(
      state
        .store(STORE)
        .get(`k${EPOCHS - 1}`)
        ?.equals(VALUE),
    ).toBe(true);
    await state.close();
  });

  it('looks for the start of the log again when that was deleted meanwhile', async () => {
    // As of before the last owner's deletion, which arrives now.
    const before = log;
    const deleted = before.low + 4n;
    await deleteRecordsBefore(client, TOPIC, 0, deleted);
    const state = newState();
    await restore(state, new AbortController().signal, before);
    expect(state.position).toBe((await partitionOffsets(client, TOPIC, 0)).lastStable - 1n);
    await state.close();
  });
});
