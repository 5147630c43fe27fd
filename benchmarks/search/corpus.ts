import { pino } from 'pino';
import type { SinkRecord } from '../../runtime/delivery/sink.ts';
import type { Contact } from '../../schemas/types.ts';
import type { ElasticsearchConfig } from '../../sinks/elasticsearch/config.ts';
import { createElasticsearchSink } from '../../sinks/elasticsearch/sink.ts';
import { tableModel } from '../../sinks/fields.ts';
import { person } from '../identity/people.ts';

/** Half of all contacts are of one tenant, whose searches are the dear ones; the rest is of fifty. */
export const LARGE_TENANT = 'acme';
const SMALL_TENANTS = 50;

const TOPIC = 'contact.golden';
const BATCH = 5_000;
const LANES = 3;

/** Contact number `number`; everything follows from it. Names, as often as Febrl's second set has them. */
export function contactOf(number: number): Contact {
  const { full_name, email, phone, company, company_domain, created_at, updated_at } =
    person(number);
  return {
    id: `c-${number}`,
    tenant_id: number % 2 === 0 ? LARGE_TENANT : `tenant-${number % SMALL_TENANTS}`,
    full_name: full_name ?? '',
    email: email ?? '',
    ...{ phone, company_id: null, company, company_domain, industry: null },
    tags: [`list-${number % 100}`, ...(number % 1_000 === 0 ? ['vip'] : [])],
    score: (number % 100) / 100,
    created_at: created_at ?? updated_at,
    updated_at,
    version: 1n,
  };
}

function recordOf(number: number, lane: number): SinkRecord {
  const value = contactOf(number);
  return {
    ...{ topic: TOPIC, partition: lane, offset: BigInt(number), timestamp: value.updated_at },
    ...{ key: value.id, value: { ...value }, version: value.version },
  };
}

/** Writes so many contacts through the sink, which makes the index. @throws Error when one is refused. */
export async function fillIndex(
  config: ElasticsearchConfig,
  contacts: number,
  onProgress: (done: number) => void,
): Promise<void> {
  const logger = pino({ level: 'silent' });
  const sink = createElasticsearchSink(config, { logger }, [tableModel(TOPIC)]);
  await sink.open();
  let next = 0;
  const lane = async (partition: number): Promise<void> => {
    while (next < contacts) {
      const from = next;
      next = Math.min(contacts, from + BATCH);
      const records = Array.from({ length: next - from }, (_, n) => recordOf(from + n, partition));
      const plan = String(from);
      const batch = { topic: TOPIC, partition, range: undefined, plan, records };
      const bad = (await sink.write(batch)).find(({ status }) => status !== 'delivered');
      if (bad !== undefined) throw new Error(`not delivered: ${JSON.stringify(bad)}`);
      onProgress(next);
    }
  };
  await Promise.all(Array.from({ length: LANES }, (_, partition) => lane(partition)));
  await sink.close();
}
