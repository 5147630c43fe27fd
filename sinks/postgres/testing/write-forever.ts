/** `node write-forever.ts <url> <schema> <partitions>`: a worker to be killed. Says `<partition> <next offset>` when delivered. */
import { pino } from 'pino';
import type { Sink, SinkRecord } from '../../../runtime/delivery/sink.ts';
import { contactRecord } from '../../fixtures.ts';
import { postgresConfigSchema } from '../config.ts';
import { createPostgresSink } from '../sink.ts';

const TOPIC = 'contact.golden';
const BATCH = 200;

async function writePartition(sink: Sink, partition: number): Promise<never> {
  const claim = await sink.claim?.(TOPIC, partition);
  if (claim === undefined) throw new Error('the sink keeps no positions');
  for (let start = Number(claim.position ?? 0n); ; start += BATCH) {
    const records = Array.from({ length: BATCH }, (_, i): SinkRecord => {
      const offset = start + i;
      return { ...contactRecord(`${partition}-${offset}`, 1n), partition, offset: BigInt(offset) };
    });
    const range = {
      epoch: claim.epoch,
      start: BigInt(start),
      end: BigInt(start + BATCH),
      origin: '',
    };
    const [result] = await sink.write({ topic: TOPIC, partition, range, records });
    if (result?.status !== 'delivered') throw new Error(`answered ${JSON.stringify(result)}`);
    process.stdout.write(`${partition} ${start + BATCH}\n`);
  }
}

const [url, schema, partitions] = process.argv.slice(2);
const sink = createPostgresSink(postgresConfigSchema.parse({ url, schema }), {
  logger: pino({ level: 'silent' }),
});
await sink.open();
await Promise.all(
  Array.from({ length: Number(partitions) }, (_, partition) => writePartition(sink, partition)),
);
