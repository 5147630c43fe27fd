import { setTimeout as delay } from 'node:timers/promises';
import type { KafkaClient } from '../kafka/client.ts';
import { readPartition } from '../kafka/partition-reader.ts';
import type { KafkaRecord } from '../kafka/record.ts';
import { type SubTopology, sourcesOf } from '../topology/graph.ts';
import type { StreamTask } from './stream-task.ts';

/**
 * Rows come before what is joined to them: tables are read to their present end before streams begin. A row that a step
 * wants to try again later is waited for.
 * @throws the signal's reason, and as `readPartition` and `StreamTask.run`.
 */
export async function readTables(
  client: KafkaClient,
  sub: SubTopology,
  task: StreamTask,
  signal: AbortSignal,
): Promise<void> {
  for (const source of sourcesOf(sub)) {
    const from = task.position(source.topic);
    if (source.kind !== 'topic' || !source.bootstrap || from === undefined) continue;
    const { topic } = source;
    const onRecords = async (records: readonly KafkaRecord[], nextOffset: bigint) => {
      const batch = { topic, records, nextOffset, atEnd: true };
      while (!(await task.run(batch, async () => signal.throwIfAborted()))) {
        await delay(Math.max(1, (task.waitsUntil ?? 0) - Date.now()), undefined, { signal });
      }
    };
    await readPartition(client, { topic, partition: task.partition, from, signal, onRecords });
  }
}
