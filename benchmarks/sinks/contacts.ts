import { setTimeout as delay } from 'node:timers/promises';
import { ReachflowError } from '../../runtime/errors.ts';
import { partitionOfKey } from '../../runtime/kafka/murmur2.ts';
import { plainType, readerSchemaText } from '../../schemas/avro.ts';
import type { Contact } from '../../schemas/types.ts';
import { RawProducer } from '../input/raw-producer.ts';
import { RecordBatch } from '../input/record-batch.ts';

/** A contact of about 200 bytes; the same for the same number. */
export function contactOf(index: number, version: bigint): Contact {
  const name = `Person ${index.toString(36)}`;
  const at = 1_767_225_600_000 + index * 37;
  return {
    ...{ id: `${index}`, tenant_id: `tenant-${index % 50}`, full_name: name, version },
    email: `${index.toString(36)}@example.com`,
    phone: index % 3 === 0 ? null : `+4930${10_000_000 + index}`,
    company_id: `${index % 1_000}`,
    company: `Company ${index % 1_000} GmbH`,
    company_domain: `company-${index % 1_000}.example`,
    industry: index % 2 === 0 ? 'tools' : 'software',
    tags: ['new', `t${index % 7}`],
    score: (index % 8) / 8,
    created_at: at,
    updated_at: at + Number(version),
  };
}

const BATCH_BYTES = 65_536;
const VALUE_BYTES = 2_048;
const WIRE_HEADER_BYTES = 5;

/** The contact's schema without its list of tags, which Debezium's UNNEST cannot write; readers take the default. */
export const CONTACT_WITHOUT_TAGS: string = (() => {
  const schema = JSON.parse(readerSchemaText('contact.golden')) as { fields: { name: string }[] };
  return JSON.stringify({ ...schema, fields: schema.fields.filter(({ name }) => name !== 'tags') });
})();

/** A key as Debezium's connectors write them, and as its sink wants them: a record. */
export const CONTACT_KEY =
  '{"type":"record","name":"Key","fields":[{"name":"id","type":"string"}]}';
const keyType = plainType(CONTACT_KEY);

/** In Confluent wire format. */
function avroKey(id: string, schemaId: number): Buffer {
  const header = Buffer.alloc(WIRE_HEADER_BYTES);
  header.writeInt32BE(schemaId, 1);
  return Buffer.concat([header, keyType.toBuffer({ id })]);
}

export interface ContactTopic {
  readonly brokers: readonly string[];
  /** Name on the broker. */
  readonly topic: string;
  /** Of `CONTACT_WITHOUT_TAGS`. */
  readonly schemaId: number;
  /** Of `CONTACT_KEY`, for keys in Avro; they are the bare id when absent. */
  readonly keySchemaId?: number;
}

const LEADER_ATTEMPTS = 100;
const LEADER_WAIT_MS = 100;

/** One batch at a time, so that one which is sent again stays before the next. */
async function send(producer: RawProducer, partition: number, batch: Buffer): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await producer.send(partition, batch);
    } catch (error) {
      const isPassing = error instanceof ReachflowError && error.retry === 'backoff';
      if (!isPassing || attempt === LEADER_ATTEMPTS) throw error;
      await delay(LEADER_WAIT_MS);
    }
  }
}

/**
 * Writes contacts 0 … `contacts` - 1, all of version 1, then all of version 2 and so on, keyed and partitioned by
 * their id.
 * @returns the id of the last contact of each partition: once a store has its last version, it has all of the partition.
 * @throws ReachflowError when the broker does not take them.
 */
export async function fillContacts(
  { brokers, topic, schemaId, keySchemaId }: ContactTopic,
  contacts: number,
  versions: number,
): Promise<readonly string[]> {
  const producer = await RawProducer.open(brokers, topic);
  const type = plainType(CONTACT_WITHOUT_TAGS);
  const batches = Array.from({ length: producer.partitions }, () => new RecordBatch(BATCH_BYTES));
  const value = Buffer.alloc(VALUE_BYTES);
  value.writeInt32BE(schemaId, 1);
  const last = new Map<number, string>();
  try {
    for (let made = 0; made < contacts * versions; made += 1) {
      const version = Math.floor(made / contacts) + 1;
      const contact = { ...contactOf(made % contacts, BigInt(version)), version };
      const end = type.encode(contact, value, WIRE_HEADER_BYTES);
      if (end < 0) throw new RangeError(`a contact is longer than ${VALUE_BYTES} bytes`);
      const id = Buffer.from(contact.id);
      const partition = partitionOfKey(id, producer.partitions);
      const key = keySchemaId === undefined ? id : avroKey(contact.id, keySchemaId);
      const batch = batches[partition];
      if (batch === undefined) throw new RangeError(`no partition ${partition}`);
      const at = contact.updated_at;
      if (!batch.append(at, key, value.subarray(0, end))) {
        await send(producer, partition, batch.take());
        batch.append(at, key, value.subarray(0, end));
      }
      last.set(partition, contact.id);
    }
    for (const [partition, batch] of batches.entries()) {
      if (batch.count > 0) await send(producer, partition, batch.take());
    }
  } finally {
    producer.close();
  }
  return [...last.values()];
}
