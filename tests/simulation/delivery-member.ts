import { pino } from 'pino';
import { claimedPosition } from '../../runtime/delivery/claimed-position.ts';
import { committedPosition } from '../../runtime/delivery/committed-position.ts';
import { deliveryConfigSchema } from '../../runtime/delivery/config.ts';
import type { Decode } from '../../runtime/delivery/decode.ts';
import { Lane } from '../../runtime/delivery/lane.ts';
import { BufferBudget } from '../../runtime/delivery/lane-buffer.ts';
import type { LaneSource } from '../../runtime/delivery/lane-source.ts';
import { plannedPosition } from '../../runtime/delivery/planned-position.ts';
import { StoreGate } from '../../runtime/delivery/store-gate.ts';
import { ReachflowError } from '../../runtime/errors.ts';
import type { SimulatedClock } from './delivery-clock.ts';
import type { SimulatedStore } from './delivery-stores.ts';
import type { SimulatedBroker, SimulatedLog } from './delivery-world.ts';
import type { Random } from './random.ts';

const TOPIC = 'contact.golden';
const config = deliveryConfigSchema.parse({
  bufferBytes: 1_048_576,
  retryInitialMs: 5,
  retryMaxMs: 100,
  breaker: { openMs: 200, windowMs: 1_000, minimumWrites: 5 },
  parking: { initialMs: 20, maxMs: 200, maxRecords: 12 },
});
const logger = pino({ level: 'silent' });

/** What a value says is in its JSON. */
const decode: Decode = async (records) =>
  records.map((raw) => {
    const value = JSON.parse(String(raw.value)) as Record<string, unknown>;
    if (value['fate'] === 'undecodable') {
      const error = new ReachflowError('no', { code: 'UNDECODABLE', domain: 'user' });
      return { raw, error };
    }
    const { offset, timestamp } = raw;
    const key = String(raw.key);
    const version = offset + 1n;
    return { raw, record: { topic: TOPIC, partition: 0, offset, timestamp, key, value, version } };
  });

/** Reads a log for a lane as a consumer does: from a position, unless it is paused. */
class Reader implements LaneSource {
  readonly #log: SimulatedLog;
  readonly #random: Random;
  #isPaused = true;
  #position = 0n;

  constructor(log: SimulatedLog, random: Random) {
    this.#log = log;
    this.#random = random;
  }

  pause(): void {
    this.#isPaused = true;
  }

  resume(): void {
    this.#isPaused = false;
  }

  seek(offset: bigint): void {
    this.#position = offset;
  }

  poll(push: (fetched: Parameters<Lane['push']>[0]) => void): void {
    if (this.#isPaused || this.#position >= this.#log.next) return;
    const from = this.#position;
    const most = this.#random.between(1, 12);
    const records = this.#log.records.filter(({ offset }) => offset >= from).slice(0, most);
    const last = records.at(-1);
    const isAll = last === undefined || last === this.#log.records.at(-1);
    const next = isAll ? this.#log.next : last.offset + 1n;
    this.#position = next;
    push({ records, from, next, end: this.#log.next });
  }
}

/** A process that holds the partition in one generation. */
export class SimulatedMember {
  readonly lane: Lane;
  readonly failures: unknown[] = [];
  #isAlive = true;
  #isFed = true;
  readonly #clock: SimulatedClock;
  readonly #random: Random;
  readonly #main: Reader;
  readonly #retry: Reader;

  constructor(
    broker: SimulatedBroker,
    store: SimulatedStore,
    clock: SimulatedClock,
    random: Random,
  ) {
    this.#clock = clock;
    this.#random = random;
    this.#main = new Reader(broker.main, random);
    this.#retry = new Reader(broker.retry, random);
    const sink = store.createSink();
    const isAlive = () => this.#isAlive;
    const { generation } = broker;
    const positions = broker.positions(broker.main, generation, isAlive);
    const protocols = {
      planned: () => plannedPosition(positions, TOPIC, 0),
      transactional: () => claimedPosition(sink, TOPIC, 0, positions, clock),
      idempotent: () => committedPosition(positions, TOPIC, 0),
      'at-least-once': () => committedPosition(positions, TOPIC, 0),
    };
    this.lane = new Lane({
      topic: TOPIC,
      partition: 0,
      sink,
      gate: new StoreGate({ sink, config, clock, logger }),
      config,
      clock,
      logger,
      decode,
      publish: (records) => broker.publish(records, isAlive),
      deadLettered: () => undefined,
      delivered: () => undefined,
      settled: () => undefined,
      position: protocols[sink.mode](),
      positions,
      budget: new BufferBudget(config.bufferBytes),
      parkingLimits: () => ({ records: config.parking.maxRecords, bytes: config.parking.maxBytes }),
      source: this.#main,
      retrySource: this.#retry,
      retryPositions: broker.positions(broker.retry, generation, isAlive),
      onFatal: (error) => this.failures.push(error),
    });
    this.#feed();
  }

  #feed(): void {
    if (!this.#isFed) return;
    this.#main.poll((fetched) => this.lane.push(fetched));
    this.#retry.poll((fetched) => this.lane.pushRetries(fetched));
    this.#clock.after(this.#random.between(1, 20), () => this.#feed());
  }

  /** As `kill -9`: nothing that it awaits comes back. */
  crash(): void {
    this.#isAlive = false;
    this.#isFed = false;
    this.lane.kill();
  }

  /** As a rebalance: it drains for at most `ms`, and has lost its partition then. */
  async leave(ms: number): Promise<void> {
    await Promise.race([this.lane.drain(), this.#clock.sleep(ms)]);
    this.#isFed = false;
    this.lane.kill();
  }
}
