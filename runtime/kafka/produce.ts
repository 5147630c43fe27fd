import type { KafkaCluster } from './cluster.ts';
import type { PartitionBatches } from './epoch-batches.ts';
import { protocolError } from './kafkajs-internals.ts';
import { requestOffsets } from './partition-offsets.ts';
import { CODE, isTransient } from './protocol-errors.ts';
import { PRODUCE, WireReader, WireWriter } from './wire.ts';

/** Who produces: what InitProducerId answered. */
export interface ProducerIdentity {
  /** As the brokers know it; null of a producer that is idempotent only. */
  readonly transactionalId: string | null;
  readonly producerId: bigint;
  readonly producerEpoch: number;
}

export interface ProduceOptions {
  readonly cluster: KafkaCluster;
  readonly identity: ProducerIdentity;
  readonly compression: 'none' | 'gzip';
  readonly physical: (topic: string) => string;
  /** How long one request is tried, ms. */
  readonly timeoutMs: number;
  /** Once it is aborted, nothing is tried again. */
  readonly signal?: AbortSignal;
}

/** Largest produce request, as long as one batch alone is not larger. */
const MAX_REQUEST_BYTES = 4_194_304;
/** How long the broker may wait for its replicas, ms. */
const ACK_TIMEOUT_MS = 10_000;
const SEQUENCES = 2 ** 31;

interface Ready {
  readonly topic: string;
  readonly partition: number;
  readonly batch: Buffer;
  readonly count: number;
}

interface Answer {
  readonly partition: number;
  readonly code: number;
  readonly baseOffset: bigint;
}

/**
 * Sequence numbers and end offsets of the partitions that one producer id writes to. Sends batches so that each
 * partition has one under way, in order: a batch that is sent again is the last one the broker has seen, which it
 * recognises by its sequence and acknowledges with its first offset (KIP-98).
 */
export class PartitionWriter {
  readonly #options: ProduceOptions;
  /** True once a request was given up: its socket may still send from the buffers of its batches. */
  #abandoned = false;
  /** Next sequence by `<physical topic>/<partition>`. */
  readonly #sequences = new Map<string, number>();

  constructor(options: ProduceOptions) {
    this.#options = options;
  }

  /** Whether a request was given up since the last call: the buffers of the batches must not be used again. */
  takeAbandoned(): boolean {
    const abandoned = this.#abandoned;
    this.#abandoned = false;
    return abandoned;
  }

  /**
   * Sends all batches with `acks=all`, to several leaders at the same time. Calls `onWritten` with the offset behind
   * each batch that was acknowledged.
   * @throws KafkaJS's error of the first partition that failed for good; other partitions may have been written.
   */
  async write(
    partitions: readonly PartitionBatches[],
    onWritten: (topic: string, partition: number, nextOffset: bigint) => void,
  ): Promise<void> {
    const { cluster, physical, timeoutMs, signal } = this.#options;
    const byLeader = new Map<number, PartitionBatches[]>();
    const retry = { timeoutMs, pauseMs: 10, signal };
    for (const batches of partitions) {
      const leader = await cluster.retrying(retry, () =>
        cluster.leader(physical(batches.topic), batches.partition),
      );
      const group = byLeader.get(leader);
      if (group === undefined) byLeader.set(leader, [batches]);
      else group.push(batches);
    }
    const results = await Promise.allSettled(
      [...byLeader.values()].map((group) => this.#writeGroup(group, onWritten)),
    );
    for (const result of results) if (result.status === 'rejected') throw result.reason;
  }

  /** Partitions of one leader: the first batch of each, then the second of each … */
  async #writeGroup(
    group: readonly PartitionBatches[],
    onWritten: (topic: string, partition: number, nextOffset: bigint) => void,
  ): Promise<void> {
    const rounds = Math.max(...group.map(({ builders }) => builders.length));
    for (let round = 0; round < rounds; round += 1) {
      let request: { readonly ready: Ready; readonly of: PartitionBatches }[] = [];
      let bytes = 0;
      const flush = async () => {
        const sent = request;
        request = [];
        bytes = 0;
        const ends = await this.#send(sent.map(({ ready }) => ready));
        for (const [i, { of }] of sent.entries()) onWritten(of.topic, of.partition, ends[i] ?? -1n);
      };
      for (const of of group) {
        const ready = this.#finish(of, round);
        if (ready === undefined) continue;
        if (request.length > 0 && bytes + ready.batch.length > MAX_REQUEST_BYTES) await flush();
        request.push({ ready, of });
        bytes += ready.batch.length;
      }
      if (request.length > 0) await flush();
    }
  }

  #finish({ topic, partition, builders }: PartitionBatches, round: number): Ready | undefined {
    const builder = builders[round];
    if (builder === undefined || builder.count === 0) return undefined;
    const { identity, compression, physical } = this.#options;
    const name = physical(topic);
    const key = `${name}/${partition}`;
    const baseSequence = this.#sequences.get(key) ?? 0;
    const { count } = builder;
    this.#sequences.set(key, (baseSequence + count) % SEQUENCES);
    const { producerId, producerEpoch } = identity;
    const transactional = identity.transactionalId !== null;
    const writer = { producerId, producerEpoch, transactional };
    const batch = builder.finish({ ...writer, baseSequence, compression });
    return { topic: name, partition, batch, count };
  }

  /** Sends batches until each is acknowledged; returns the offset behind each. */
  async #send(batches: readonly Ready[]): Promise<bigint[]> {
    const { cluster, timeoutMs, signal } = this.#options;
    const ends = new Map<Ready, bigint>();
    let left = batches;
    await cluster.retrying({ timeoutMs, pauseMs: 10, maxPauseMs: 500, signal }, async () => {
      let failure: unknown;
      for (const [leader, sent] of await this.#byLeader(left)) {
        try {
          failure = (await this.#sendTo(leader, sent, ends)) ?? failure;
        } catch (error) {
          this.#abandoned = true;
          if (!isTransient(error)) throw error;
          for (const { topic } of sent) cluster.forgetLeaders(topic);
          failure = error;
        }
      }
      left = left.filter((batch) => !ends.has(batch));
      if (failure !== undefined) throw failure;
    });
    return batches.map((batch) => ends.get(batch) ?? -1n);
  }

  /** Leaders may have moved since the batches were grouped. */
  async #byLeader(batches: readonly Ready[]): Promise<Map<number, Ready[]>> {
    const byLeader = new Map<number, Ready[]>();
    for (const batch of batches) {
      const leader = await this.#options.cluster.leader(batch.topic, batch.partition);
      const group = byLeader.get(leader);
      if (group === undefined) byLeader.set(leader, [batch]);
      else group.push(batch);
    }
    return byLeader;
  }

  /** Notes the ends of what was written; returns an error that may pass. @throws one that does not. */
  async #sendTo(
    leader: number,
    batches: readonly Ready[],
    ends: Map<Ready, bigint>,
  ): Promise<unknown> {
    const { cluster, identity } = this.#options;
    const body = encodeRequest(identity.transactionalId, batches);
    const answers = decodeResponse(await cluster.request(leader, { api: PRODUCE, body }));
    let passing: unknown;
    for (const batch of batches) {
      const answer = answers.get(`${batch.topic}/${batch.partition}`);
      const code = answer?.code ?? CODE.unknownTopicOrPartition;
      if (code === 0) {
        ends.set(batch, (answer?.baseOffset ?? -1n) + BigInt(batch.count));
      } else if (code === CODE.duplicateSequence) {
        // Written before, and not the broker's last batch any more: nobody else writes as this producer, so at its end.
        const [offsets] = await requestOffsets(cluster, [batch]);
        ends.set(batch, offsets?.high ?? -1n);
      } else {
        const error = protocolError(code);
        if (!isTransient(error)) throw error;
        cluster.forgetLeaders(batch.topic);
        passing = error;
      }
    }
    return passing;
  }
}

/** Produce request, version 7. The batches are written to the socket as they are. */
function encodeRequest(transactionalId: string | null, batches: readonly Ready[]): Buffer[] {
  const parts: Buffer[] = [];
  const byTopic = Map.groupBy(batches, ({ topic }) => topic);
  let head = new WireWriter(128).string(transactionalId);
  head.int16(-1).int32(ACK_TIMEOUT_MS).int32(byTopic.size);
  for (const [topic, own] of byTopic) {
    head.string(topic).int32(own.length);
    for (const { partition, batch } of own) {
      parts.push(head.int32(partition).int32(batch.length).done(), batch);
      head = new WireWriter(128);
    }
  }
  return parts;
}

function decodeResponse(payload: Buffer): Map<string, Answer> {
  const reader = new WireReader(payload);
  const answers = new Map<string, Answer>();
  reader.array(() => {
    const topic = reader.string();
    reader.array(() => {
      const partition = reader.int32();
      const code = reader.int16();
      const baseOffset = reader.int64();
      reader.int64();
      reader.int64();
      answers.set(`${topic}/${partition}`, { partition, code, baseOffset });
    });
  });
  return answers;
}
