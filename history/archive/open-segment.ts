import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { ReachflowError } from '../../runtime/errors.ts';
import type { LazyRecord } from '../../runtime/kafka/lazy-record.ts';
import type { TopicCodec } from '../../schemas/codec.ts';
import type { PayloadSource } from '../../schemas/payloads.ts';
import { isClaimable, isTopicName, topics } from '../../schemas/topics.ts';
import type { FrontierState } from '../merkle/frontier.ts';
import { ClaimsPackWriter } from './claims-pack.ts';
import type { Manifest } from './manifest.ts';
import { SegmentWriter } from './segment-writer.ts';

export interface OpenSegmentDeps {
  readonly codec: TopicCodec;
  /** Where the payloads are that records refer to. */
  readonly payloads: PayloadSource;
}

/** A segment that is being written to local files: records, payloads that they refer to, and the schemas of both. */
export class OpenSegment {
  readonly from: bigint;
  readonly writer: SegmentWriter;
  readonly #deps: OpenSegmentDeps;
  readonly #topic: string;
  readonly #dir: string;
  readonly #schemas = new Map<number, string>();
  #claims: ClaimsPackWriter | undefined;
  #missing = 0;

  private constructor(
    deps: OpenSegmentDeps,
    topic: string,
    dir: string,
    from: bigint,
    writer: SegmentWriter,
  ) {
    this.#deps = deps;
    this.#topic = topic;
    this.#dir = dir;
    this.from = from;
    this.writer = writer;
  }

  /** @param dir of its own, and empty. */
  static async open(
    deps: OpenSegmentDeps,
    topic: string,
    dir: string,
    from: bigint,
    before: FrontierState,
  ): Promise<OpenSegment> {
    const writer = await SegmentWriter.open(join(dir, 'log'), before);
    return new OpenSegment(deps, topic, dir, from, writer);
  }

  /** Of records and payloads, before compression of the former. */
  get bytes(): number {
    return this.writer.bytes + (this.#claims?.bytes ?? 0);
  }

  get claims(): ClaimsPackWriter | undefined {
    return this.#claims;
  }

  /** Payloads that are gone. */
  get missingClaims(): number {
    return this.#missing;
  }

  get schemas(): Manifest['schemas'] {
    return Object.fromEntries([...this.#schemas].map(([id, text]) => [String(id), text]));
  }

  /** @throws ReachflowError `REGISTRY_UNAVAILABLE`, `CLAIM_STORAGE_UNAVAILABLE` (retry: backoff). */
  async add(records: readonly LazyRecord[]): Promise<void> {
    if (isTopicName(this.#topic)) {
      await this.#addSchemas(records);
      await this.#addClaims(records);
    }
    await this.writer.add(records);
  }

  async #addSchemas(records: readonly LazyRecord[]): Promise<void> {
    const hasKeys = isTopicName(this.#topic) && topics[this.#topic].keyFormat === 'avro';
    for (const { value, key } of records) {
      await this.#addSchema(value);
      if (hasKeys) await this.#addSchema(key);
    }
  }

  async #addSchema(bytes: Buffer | null): Promise<void> {
    if (bytes === null || bytes.length < 5 || bytes[0] !== 0) return;
    const id = bytes.readInt32BE(1);
    if (this.#schemas.has(id)) return;
    try {
      this.#schemas.set(id, await this.#deps.codec.schemaText(id));
    } catch (error) {
      // What the registry does not know cannot be decoded now either: its bytes are kept.
      if (!(error instanceof ReachflowError) || error.code !== 'SCHEMA_UNKNOWN') throw error;
      this.#schemas.set(id, '');
    }
  }

  async #addClaims(records: readonly LazyRecord[]): Promise<void> {
    const topic = this.#topic;
    if (!isTopicName(topic) || !isClaimable(topic)) return;
    const { codec, payloads } = this.#deps;
    const values = records.map(({ value }) => value);
    await codec.load(topic, values);
    for (const ref of codec.payloadRefs(topic, values)) {
      if (ref === undefined || this.#claims?.has(ref.sha256) === true) continue;
      this.#claims ??= await ClaimsPackWriter.open(join(this.#dir, 'claims'));
      try {
        await this.#claims.add(ref.sha256, await payloads.read(ref));
      } catch (error) {
        if (!isGone(error)) throw error;
        this.#missing += 1;
      }
    }
  }

  /** Removes its files. Idempotent. */
  async discard(): Promise<void> {
    await this.writer.discard();
    await this.#claims?.discard();
    await rm(this.#dir, { recursive: true, force: true });
  }
}

/** A payload that was removed, or never was: that is not the archive's to mend. */
function isGone(error: unknown): boolean {
  if (!(error instanceof ReachflowError)) return false;
  return ['CLAIM_EXPIRED', 'CLAIM_NOT_FOUND', 'CLAIM_CORRUPT', 'CLAIM_INVALID'].includes(
    error.code,
  );
}
