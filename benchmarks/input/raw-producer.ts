import { setTimeout as delay } from 'node:timers/promises';
import { ReachflowError } from '../../runtime/errors.ts';
import { BrokerConnection } from './broker-connection.ts';

const PRODUCE = { key: 0, version: 7 } as const;
const METADATA = { key: 3, version: 4 } as const;
const ACKS_ALL = -1;
const TIMEOUT_MS = 30_000;
/** A new topic's leaders are known a moment later. */
const LEADER_ATTEMPTS = 50;
const LEADER_WAIT_MS = 100;
/** LEADER_NOT_AVAILABLE and NOT_LEADER_OR_FOLLOWER: a new partition's leader may not know of it yet. */
const NOT_YET_LED: readonly number[] = [5, 6];

function text(value: string): Buffer {
  const bytes = Buffer.from(value);
  const framed = Buffer.alloc(2 + bytes.length);
  framed.writeInt16BE(bytes.length, 0);
  bytes.copy(framed, 2);
  return framed;
}

function int32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32BE(value, 0);
  return bytes;
}

/** Reads an answer field by field. */
class Fields {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  int16(): number {
    this.#at += 2;
    return this.#bytes.readInt16BE(this.#at - 2);
  }

  int32(): number {
    this.#at += 4;
    return this.#bytes.readInt32BE(this.#at - 4);
  }

  string(): string {
    const length = this.int16();
    if (length < 0) return '';
    this.#at += length;
    return this.#bytes.toString('utf8', this.#at - length, this.#at);
  }

  skip(bytes: number): void {
    this.#at += bytes;
  }

  list<T>(read: () => T): T[] {
    return Array.from({ length: Math.max(0, this.int32()) }, read);
  }
}

function refused(topic: string, partition: number, error: number): ReachflowError {
  return new ReachflowError(
    `the broker refused a batch for ${topic}/${partition}: error ${error}`,
    {
      code: 'PRODUCE_REFUSED',
      domain: 'external',
      retry: NOT_YET_LED.includes(error) ? 'backoff' : 'none',
      hint: 'The codes are in the Kafka protocol guide, "Error Codes".',
    },
  );
}

/** Addresses of the partitions' leaders, from a Metadata answer of version 4; undefined while there is none. */
function leadersOf(response: Buffer): (string | undefined)[] {
  const fields = new Fields(response);
  fields.skip(4);
  const brokers = new Map(
    fields.list(() => {
      const id = fields.int32();
      const address = `${fields.string()}:${fields.int32()}`;
      fields.string();
      return [id, address] as const;
    }),
  );
  fields.string();
  fields.skip(4);
  const [leaders = []] = fields.list(() => {
    fields.skip(2);
    fields.string();
    fields.skip(1);
    const found: (string | undefined)[] = [];
    fields.list(() => {
      fields.skip(2);
      const partition = fields.int32();
      found[partition] = brokers.get(fields.int32());
      for (const _list of ['replicas', 'in sync']) fields.list(() => fields.skip(4));
    });
    return found;
  });
  return leaders;
}

/** Sends ready-made record batches to the partitions of one topic, acks=all. Batches of a partition stay in order. */
export class RawProducer {
  readonly #topic: string;
  readonly #leaders: readonly BrokerConnection[];

  private constructor(topic: string, leaders: readonly BrokerConnection[]) {
    this.#topic = topic;
    this.#leaders = leaders;
  }

  /** @param topic its name on the broker. @throws ReachflowError `KAFKA_UNAVAILABLE`. */
  static async open(brokers: readonly string[], topic: string): Promise<RawProducer> {
    const bootstrap = await BrokerConnection.open(brokers[0] ?? '');
    try {
      for (let attempt = 1; attempt <= LEADER_ATTEMPTS; attempt += 1) {
        const body = [int32(1), text(topic), Buffer.of(0)];
        const leaders = leadersOf(await bootstrap.request(METADATA.key, METADATA.version, body));
        const known = leaders.filter((address) => address !== undefined);
        if (known.length === leaders.length && known.length > 0) {
          const connections = new Map<string, BrokerConnection>();
          for (const address of new Set(known)) {
            connections.set(address, await BrokerConnection.open(address));
          }
          const ofPartition = known.map((address) => connections.get(address) ?? bootstrap);
          return new RawProducer(topic, ofPartition);
        }
        await delay(LEADER_WAIT_MS);
      }
    } finally {
      bootstrap.close();
    }
    throw new ReachflowError(`${topic} has no leaders`, {
      code: 'KAFKA_UNAVAILABLE',
      domain: 'external',
      retry: 'backoff',
      hint: 'Was the topic created?',
    });
  }

  get partitions(): number {
    return this.#leaders.length;
  }

  /**
   * Resolves once the batch is stored.
   * @throws ReachflowError `PRODUCE_REFUSED` (retry: backoff when the partition has no leader yet), `KAFKA_UNAVAILABLE`.
   */
  async send(partition: number, batch: Buffer): Promise<void> {
    const leader = this.#leaders[partition];
    if (leader === undefined) throw new RangeError(`${this.#topic} has no partition ${partition}`);
    const head = Buffer.alloc(8);
    head.writeInt16BE(-1, 0);
    head.writeInt16BE(ACKS_ALL, 2);
    head.writeInt32BE(TIMEOUT_MS, 4);
    const response = await leader.request(PRODUCE.key, PRODUCE.version, [
      ...[head, int32(1), text(this.#topic), int32(1), int32(partition), int32(batch.length)],
      batch,
    ]);
    const fields = new Fields(response);
    fields.skip(4);
    fields.string();
    fields.skip(8);
    const error = fields.int16();
    if (error !== 0) throw refused(this.#topic, partition, error);
  }

  close(): void {
    for (const connection of new Set(this.#leaders)) connection.close();
  }
}
