import { topicPartitions } from '../../../runtime/kafka/admin.ts';
import { readTopic } from '../../../runtime/kafka/reader.ts';
import { readEnvelope } from '../../../schemas/envelope.ts';
import { eventually, kafkaFixture, testLogger } from '../../../tests/support/kafka.ts';
import type { DeliveryHarness } from '../../conformance.ts';
import { createConnectClient } from '../connect-client.ts';
import { captureNames } from '../names.ts';
import type { CaptureFixture } from './capture-fixture.ts';

const TOPIC = 'cdc.public.contacts';
/** Ids of its rows, above those of other tests. */
const FIRST_ID = 1_000_000;

/**
 * Input of a capture is a row that its application commits. What is committed while the capture is stopped waits in the
 * slot: it counts as accepted once it is in the topic, and each later offer waits for all rows before it, too.
 */
export function captureDelivery(fixture: CaptureFixture, namespace: string): DeliveryHarness {
  const { source, connect } = fixture;
  const { client, codec } = kafkaFixture({ namespace });
  const rest = createConnectClient(connect, testLogger);
  const { connector } = captureNames(fixture.configOf(), namespace);
  const written: string[] = [];

  async function stored(): Promise<string[]> {
    if (!(await topicPartitions(client)).has(TOPIC)) return [];
    const values: (Buffer | null)[] = [];
    await readTopic(client, { topic: TOPIC, onRecord: ({ value }) => void values.push(value) });
    await codec.load(TOPIC, values);
    return values.flatMap((value) => {
      const change = value === null ? undefined : readEnvelope(codec.decode(TOPIC, value));
      if (change?.kind !== 'change' || change.after === null) return [];
      const { id, full_name: name } = change.after;
      return Number(id) >= FIRST_ID && typeof name === 'string' ? [name] : [];
    });
  }

  return {
    stored,
    async offer(ids) {
      for (const id of ids) {
        const row = [FIRST_ID + written.length, 'acme', id];
        await source.query(
          'INSERT INTO contacts (id, tenant_id, full_name) VALUES ($1, $2, $3)',
          row,
        );
        written.push(id);
      }
      let inTopic = new Set<string>();
      await eventually('every row so far, unless it is stopped', async () => {
        const isStopped = (await rest.status(connector))?.tasks.length === 0;
        inTopic = new Set(await stored());
        return isStopped || written.every((id) => inTopic.has(id));
      });
      return ids.filter((id) => inTopic.has(id));
    },
  };
}
