import { partitionOfKey } from '../../runtime/kafka/murmur2.ts';
import { readerType } from '../../schemas/avro.ts';
import type { WebhookReceived } from '../../schemas/types.ts';
import {
  EVENT_TYPES,
  entityOf,
  eventIdOf,
  KEYS,
  tenantOf,
  type WorkloadRecord,
} from './workload.ts';

const TOPIC = 'webhook.received';
/** Larger than any value that we make. */
const SCRATCH_BYTES = 1_024;
const WIRE_HEADER_BYTES = 5;
const SOURCE = 'bench';

/** Keys of the topic and their partitions, as a producer with the default partitioner would choose them. */
export interface Keys {
  readonly bytes: readonly Buffer[];
  readonly partitions: Uint16Array;
}

export function createKeys(partitions: number): Keys {
  const bytes = Array.from({ length: KEYS }, (_, key) =>
    Buffer.from(`${tenantOf(key)}:${entityOf(key)}`),
  );
  const chosen = bytes.map((key) => partitionOfKey(key, partitions));
  return { bytes, partitions: Uint16Array.from(chosen) };
}

/** Encodes values of `webhook.received` in Confluent wire format, some 160 bytes each. */
export class WebhookEncoder {
  readonly #type = readerType(TOPIC);
  readonly #scratch = Buffer.alloc(SCRATCH_BYTES);
  readonly #value: WebhookReceived = {
    event_id: '',
    tenant_id: '',
    source: SOURCE,
    event_type: '',
    delivery_id: '',
    entity_id: '',
    occurred_at: 0,
    received_at: 0,
    payload: '',
  };

  /** @param schemaId of the topic's schema in the registry. */
  constructor(schemaId: number) {
    this.#scratch.writeInt32BE(schemaId, 1);
  }

  /** The value's bytes, valid until the next call. */
  encode(record: WorkloadRecord, eventId = eventIdOf(record.event)): Buffer {
    const value = this.#value;
    value.event_id = eventId;
    value.tenant_id = tenantOf(record.key);
    value.event_type = EVENT_TYPES[record.type] ?? '';
    value.delivery_id = eventId.slice(SOURCE.length + 1);
    value.entity_id = entityOf(record.key);
    value.occurred_at = record.occurredAt;
    value.received_at = record.arrivedAt;
    value.payload = `{"n":${record.event},"total":"49.90","currency":"EUR","items":3,"channel":"web"}`;
    const end = this.#type.encode(value, this.#scratch, WIRE_HEADER_BYTES);
    if (end < 0) throw new Error(`a value is longer than ${SCRATCH_BYTES} bytes`);
    return this.#scratch.subarray(0, end);
  }
}
