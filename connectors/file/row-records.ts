import type { EpochBatches } from '../../runtime/kafka/epoch-batches.ts';
import type { PositionedProducer } from '../../runtime/kafka/positioned-producer.ts';
import type { ValueEncoder } from '../../runtime/kafka/record-batch.ts';
import { writeVarlong } from '../../runtime/kafka/varint.ts';
import type { TopicCodec } from '../../schemas/codec.ts';
import type { WebhookReceived } from '../../schemas/types.ts';
import type { ImportMap, ImportTopic } from './map.ts';
import type { RowMapper } from './mapping/row-mapper.ts';

/** What all rows of an import have in common. */
export interface ImportIdentity {
  readonly importId: string;
  /** The file's name, without directories. */
  readonly file: string;
  /** When the import began, ms since the epoch. */
  readonly startedAt: number;
}

/** A row that was mapped, as the encoders take it. */
interface MappedRow {
  readonly mapper: RowMapper;
  row: number;
}

const COLON = 0x3a;
const MAX_KEY = 2_048;
/** Views of a row's bytes that are kept, one for each length: longer rows take their time to copy anyway. */
const MAX_VIEWS = 4_096;

/** Puts mapped rows as records into batches. */
export class RowRecords {
  readonly #topic: ImportTopic;
  readonly #producer: PositionedProducer;
  readonly #encoder: ValueEncoder<MappedRow>;
  readonly #mapped: MappedRow;
  readonly #key = Buffer.allocUnsafeSlow(MAX_KEY);
  readonly #keys = new Prefixes();

  /** `codec.register` and `producer.prepare` must have seen the map's topic. */
  constructor(
    map: ImportMap,
    identity: ImportIdentity,
    mapper: RowMapper,
    codec: TopicCodec,
    producer: PositionedProducer,
  ) {
    this.#topic = map.topic;
    this.#producer = producer;
    this.#encoder =
      map.topic === 'file.row.received'
        ? new RowEncoder(rowPrefix(map, identity, codec))
        : webhookEncoder(map, identity, codec);
    this.#mapped = { mapper, row: 0 };
  }

  /** @param timestamp of the record, ms. @throws ReachflowError `RECORD_TOO_LARGE`. */
  append(batches: EpochBatches, row: number, timestamp: number): void {
    this.#mapped.row = row;
    const key = this.#keyOf(this.#mapped.mapper);
    const partition = this.#producer.partitionFor(this.#topic, key);
    batches.appendWith(
      this.#topic,
      partition,
      key,
      timestamp,
      undefined,
      this.#encoder,
      this.#mapped,
    );
  }

  /** `<tenant>:<entity id>`, as all topics of events have it. */
  #keyOf({ tenant, entity, entityLength }: RowMapper): Buffer {
    const buffer = this.#key;
    const { length } = tenant;
    for (let i = 0; i < length; i += 1) buffer[i] = tenant.charCodeAt(i);
    buffer[length] = COLON;
    for (let i = 0; i < entityLength; i += 1) buffer[length + 1 + i] = entity[i] ?? 0;
    return this.#keys.of(buffer, length + 1 + entityLength);
  }
}

/** Fields of `file.row.received` behind those that all rows share: tenant, row, entity, time, payload. */
const OWN_FIELDS = 5;

/** Header and common fields of every value. The fields behind them are written by `RowEncoder`. */
function rowPrefix(
  map: ImportMap,
  { importId, file, startedAt }: ImportIdentity,
  codec: TopicCodec,
): Buffer {
  const whole = codec.encode('file.row.received', {
    import_id: importId,
    source: `file:${map.source}`,
    file,
    event_type: map.eventType,
    received_at: startedAt,
    tenant_id: '',
    row: 0,
    entity_id: '',
    occurred_at: null,
    payload: '',
  });
  // Each of them empty, and so one byte.
  return whole.subarray(0, whole.length - OWN_FIELDS);
}

/**
 * Writes values of `file.row.received` without an object or a string per row: Avro's longs are the zigzag varints of
 * Kafka's records, and a string is its length and its bytes.
 */
class RowEncoder implements ValueEncoder<MappedRow> {
  readonly #prefix: Buffer;
  readonly #payloads = new Prefixes();

  constructor(prefix: Buffer) {
    this.#prefix = prefix;
  }

  encode({ mapper, row }: MappedRow, buffer: Buffer, from: number): number {
    const { tenant, entity, entityLength, occurredAt, payload } = mapper;
    const prefix = this.#prefix;
    const payloadLength = payload.length;
    const most = from + prefix.length + tenant.length + entityLength + payloadLength + 48;
    if (most > buffer.length) return most;
    let at = from + prefix.copy(buffer, from);
    at = writeVarlong(buffer, at, tenant.length);
    for (let i = 0; i < tenant.length; i += 1) buffer[at + i] = tenant.charCodeAt(i);
    at = writeVarlong(buffer, at + tenant.length, row);
    at = writeVarlong(buffer, at, entityLength);
    for (let i = 0; i < entityLength; i += 1) buffer[at + i] = entity[i] ?? 0;
    at += entityLength;
    buffer[at] = occurredAt === undefined ? 0 : 2;
    at += 1;
    if (occurredAt !== undefined) at = writeVarlong(buffer, at, occurredAt);
    at = writeVarlong(buffer, at, payloadLength);
    buffer.set(this.#payloads.of(payload.buffer, payloadLength), at);
    return at + payloadLength;
  }
}

/** Views of the beginning of a buffer, by length: making one for each row costs more than copying what it shows. */
class Prefixes {
  #of: Buffer | undefined;
  readonly #views: Buffer[] = [];

  of(buffer: Buffer, length: number): Buffer {
    if (length > MAX_VIEWS) return buffer.subarray(0, length);
    if (buffer !== this.#of) {
      this.#of = buffer;
      this.#views.length = 0;
    }
    const known = this.#views[length];
    if (known !== undefined) return known;
    const view = buffer.subarray(0, length);
    this.#views[length] = view;
    return view;
  }
}

/** Rows as events of a webhook, for pipelines that count those: the delivery is the row. */
function webhookEncoder(
  map: ImportMap,
  { importId, startedAt }: ImportIdentity,
  codec: TopicCodec,
): ValueEncoder<MappedRow> {
  const writer = codec.writer('webhook.received');
  const source = `file:${map.source}`;
  return {
    encode({ mapper, row }, buffer, at) {
      const { tenant, entity, entityLength, occurredAt, payload } = mapper;
      const value: WebhookReceived = {
        event_id: `${source}:${importId}:${row}`,
        tenant_id: tenant,
        source,
        event_type: map.eventType,
        delivery_id: `${importId}:${row}`,
        entity_id: entity.toString('utf8', 0, entityLength),
        occurred_at: occurredAt ?? null,
        received_at: startedAt,
        payload: payload.buffer.toString('utf8', 0, payload.length),
      };
      return writer.encode(value, buffer, at);
    },
  };
}
