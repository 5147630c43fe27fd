/** Drains the log in the directory DIR until it is empty: to be killed meanwhile. KAFKA, NAMESPACE, TOPIC say where to. */
import { pino } from 'pino';
import { createKafkaClient } from '../../kafka/client.ts';
import { kafkaConfigSchema } from '../../kafka/config.ts';
import { Drain } from '../drain.ts';
import { SegmentLog } from '../segment-log.ts';

const setting = (name: string): string => process.env[name] ?? '';
const logger = pino({ level: 'silent' });
const client = createKafkaClient(
  kafkaConfigSchema.parse({
    brokers: setting('KAFKA').split(','),
    namespace: setting('NAMESPACE'),
  }),
  logger,
);
const dir = setting('DIR');
const log = await SegmentLog.open({ dir, maxBytes: 2 ** 32, segmentBytes: 2 ** 20, logger });
const drain = await Drain.open({ client, log, topic: setting('TOPIC') });
process.stdout.write('draining\n');
const began = performance.now();
await drain.drain(() => false);
process.stdout.write(`drained ${drain.drained} in ${performance.now() - began} ms\n`);
await drain.close();
await log.close();
process.exit(0);
