import { setTimeout as delay, setImmediate as nextTurn } from 'node:timers/promises';
import type PQueue from 'p-queue';
import { ReachflowError } from '../runtime/errors.ts';
import { ProblemError } from '../runtime/http/problem.ts';
import type { KafkaClient } from '../runtime/kafka/client.ts';
import { readChunk } from '../runtime/kafka/partition-reader.ts';
import type { TopicCodec } from '../schemas/codec.ts';
import { decodeCursor } from './cursor.ts';
import { decodeRecord, type SubscribedEvent, toEvent, withCursor } from './event.ts';
import type { Feed, Listener, Tenants } from './feed.ts';
import { cursorExpired, slowConsumer, unavailable } from './problems.ts';
import { type Readable, readable } from './readable.ts';

/** Where a subscription's events go: one connection, of any of the three transports. */
export interface Outlet {
  /** False when it takes no more: the event then counts as not sent. */
  send(event: SubscribedEvent): boolean;
  /** Bytes that were sent and that the client has not taken. */
  readonly buffered: number;
  /** Resolves when the client has taken them, or is gone. */
  drained(): Promise<void>;
  /** All that there was at the moment has been sent. */
  caughtUp(): void;
  /** Ends the connection and says why, and where to go on. */
  end(problem: ProblemError, cursor: string): void;
}

export interface SubscriptionDeps {
  readonly client: KafkaClient;
  readonly codec: TopicCodec;
  /** Bounds the reads of old records of all subscriptions together. */
  readonly reads: PQueue;
  readonly clientBufferBytes: number;
  readonly stallTimeoutMs: number;
}

/** Events that are looked at before others get their turn. */
const SLICE = 200;
const CHUNK_BYTES = 262_144;
const NO_PROGRESS_MS = 50;
const MAX_NO_PROGRESS = 200;

/**
 * One subscriber of a feed: from its position through older records of the log and the newest ones in memory to the feed's
 * end, where it becomes a listener. Each record of its tenants that is behind the position is sent once, in the order of its
 * partition, with a cursor that is exact for this subscriber.
 */
export class Subscription implements Listener {
  readonly tenants: Tenants;
  readonly #feed: Feed;
  readonly #outlet: Outlet;
  readonly #deps: SubscriptionDeps;
  /** While it is not at the feed's end; undefined from then on. */
  #positions: number[] | undefined;
  /** Where it has seen more than the feed: its cursor is from an instance that was ahead. */
  readonly #ahead = new Map<number, number>();
  #ended = false;
  /** Of the last event that was sent. */
  #sentCursor: string | undefined;
  /** Once it has ended. */
  #lastCursor: string | undefined;

  /** @param positions to begin at; undefined for the feed's end. */
  constructor(
    feed: Feed,
    tenants: Tenants,
    positions: readonly number[] | undefined,
    outlet: Outlet,
    deps: SubscriptionDeps,
  ) {
    this.#feed = feed;
    this.tenants = tenants;
    this.#outlet = outlet;
    this.#deps = deps;
    this.#positions = positions === undefined ? undefined : [...positions];
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** Where to go on: behind everything that was sent, and everything that was passed over. */
  get cursor(): string {
    if (this.#lastCursor !== undefined) return this.#lastCursor;
    return this.#feed.cursorOf(this.#positions ?? this.#merged(this.#feed.positions));
  }

  /** Begins to send. Problems end the outlet; this never rejects. */
  async run(): Promise<void> {
    try {
      while (!this.#ended && !this.#joinWhenAtEnd()) {
        const recentStart = this.#feed.recent.start;
        const behind = this.#own.flatMap((position, p) =>
          position < (recentStart[p] ?? 0) ? [p] : [],
        );
        if (behind.length === 0) await this.#replayRecent();
        for (const partition of behind) {
          if (!this.#ended) await this.#readOlder(partition, recentStart[partition] ?? 0);
        }
      }
    } catch (error) {
      this.end(toProblem(error));
    }
  }

  get #own(): number[] {
    return this.#positions ?? [];
  }

  #joinWhenAtEnd(): boolean {
    const { lost } = this.#feed;
    if (lost !== undefined) throw lost;
    if (this.#positions !== undefined) return false;
    this.#feed.attach(this);
    this.#outlet.caughtUp();
    return true;
  }

  /** One chunk of one partition, up to where memory begins. */
  async #readOlder(partition: number, to: number): Promise<void> {
    const { client, codec, reads } = this.#deps;
    const { topic } = this.#feed;
    for (let attempt = 0; attempt < MAX_NO_PROGRESS; attempt += 1) {
      const from = BigInt(this.#own[partition] ?? 0);
      const { records, nextOffset } = await reads.add(() =>
        readChunk(client, { topic, partition, from, maxBytes: CHUNK_BYTES }),
      );
      if (this.#ended) return;
      if (nextOffset > from) {
        for await (const part of readable(codec, topic, records)) {
          await this.#sendOlder(partition, part, to);
          if (this.#ended) return;
        }
        this.#own[partition] = Math.max(Number(from), Math.min(Number(nextOffset), to));
        this.#outlet.caughtUp();
        return;
      }
      // What the feed has read is committed, so it is there: the leader may have moved.
      await delay(NO_PROGRESS_MS);
    }
    throw unavailable('READ_STALLED', `older records of ${topic} cannot be read now`);
  }

  async #sendOlder(partition: number, { records, payloads }: Readable, to: number): Promise<void> {
    const { codec } = this.#deps;
    const own = this.#own;
    let looked = 0;
    for (const record of records) {
      const decoded = decodeRecord(codec, this.#feed.topic, partition, record, payloads);
      if (decoded.offset >= to) return;
      if (this.#isOurs(decoded.tenant)) {
        const after = own.with(partition, decoded.offset + 1);
        this.#send(toEvent(decoded, this.#feed.cursorOf(after)));
      }
      if (this.#ended) return;
      own[partition] = decoded.offset + 1;
      looked += 1;
      if (looked % SLICE === 0) await this.#pause();
      if (this.#ended) return;
    }
  }

  /** From memory to the feed's end, unless that moves on faster than the client takes it. */
  async #replayRecent(): Promise<void> {
    const { recent } = this.#feed;
    const own = this.#own;
    this.#ahead.clear();
    for (const [p, position] of own.entries())
      if (position > (recent.start[p] ?? 0)) this.#ahead.set(p, position);
    let number = recent.first;
    while (number >= recent.first) {
      for (const end = Math.min(number + SLICE, recent.end); number < end; number += 1) {
        const event = recent.at(number);
        const isNew = this.#offer(event);
        if (this.#ended) return;
        if (isNew) own[event.partition] = event.offset + 1;
      }
      if (number === recent.end) {
        // No await between here and the attachment: nothing is missed.
        this.#positions = undefined;
        return;
      }
      await this.#pause();
      if (this.#ended) return;
    }
  }

  #isOurs(tenant: string | undefined): boolean {
    return this.tenants === '*' || (tenant !== undefined && this.tenants.has(tenant));
  }

  onEvent(event: SubscribedEvent): void {
    this.#offer(event);
    if (this.#outlet.buffered > this.#deps.clientBufferBytes) this.end(slowConsumer());
  }

  onLost(error: ReachflowError): void {
    this.end(toProblem(error));
  }

  /** @returns whether it is new to this subscriber, ours or not. */
  #offer(event: SubscribedEvent): boolean {
    if (this.#ahead.size > 0) {
      const seen = this.#ahead.get(event.partition) ?? 0;
      if (event.offset + 1 >= seen) this.#ahead.delete(event.partition);
      if (event.offset < seen) return false;
    }
    if (!this.#isOurs(event.tenant)) return true;
    this.#send(this.#ahead.size === 0 ? event : withCursor(event, this.#cursorAt(event)));
    return true;
  }

  #cursorAt(event: SubscribedEvent): string {
    const { topic, partitions } = this.#feed;
    const shared = decodeCursor(topic, event.cursor, partitions) ?? [];
    return this.#feed.cursorOf(this.#merged(shared));
  }

  #merged(positions: readonly number[]): readonly number[] {
    if (this.#ahead.size === 0) return positions;
    return positions.map((position, p) => Math.max(position, this.#ahead.get(p) ?? 0));
  }

  #send(event: SubscribedEvent): void {
    if (this.#ended) return;
    if (this.#outlet.send(event)) this.#sentCursor = event.cursor;
    else this.close(this.#positions === undefined ? this.#sentCursor : this.cursor);
  }

  /** Lets others have their turn, and waits while the client is behind. */
  async #pause(): Promise<void> {
    await nextTurn();
    const { clientBufferBytes, stallTimeoutMs } = this.#deps;
    if (this.#outlet.buffered <= clientBufferBytes / 2) return;
    const timer = new AbortController();
    const stalled = delay(stallTimeoutMs, true, { signal: timer.signal }).catch(() => false);
    const isStalled = await Promise.race([stalled, this.#outlet.drained().then(() => false)]);
    timer.abort();
    if (isStalled) this.end(slowConsumer());
  }

  /** Ends the connection: the client hears why, and where to go on. Idempotent. */
  end(problem: ProblemError): void {
    if (this.#ended) return;
    this.close();
    this.#outlet.end(problem, this.cursor);
  }

  /** The connection is gone, or has enough. Idempotent. @param cursor where to go on; where it is, without. */
  close(cursor = this.cursor): void {
    if (this.#ended) return;
    this.#lastCursor = cursor;
    this.#ended = true;
    this.#feed.detach(this);
  }
}

function toProblem(error: unknown): ProblemError {
  if (error instanceof ProblemError) return error;
  if (!(error instanceof ReachflowError)) {
    return unavailable('INTERNAL', 'reading failed', error);
  }
  if (error.code === 'OFFSET_OUT_OF_RANGE') return cursorExpired();
  return unavailable(error.code, 'the topic cannot be read now', error);
}
