import { setImmediate as turn } from 'node:timers/promises';
import { ReachflowError } from '../../runtime/errors.ts';
import { partitionOfKey } from '../../runtime/kafka/murmur2.ts';
import type { MemoryBackend } from '../../runtime/state/memory-backend.ts';
import type { MemoryCodec } from '../../runtime/testing/memory-codec.ts';
import { MemoryLog } from '../../runtime/testing/memory-log.ts';
import { emptyBackend, openMemoryTask } from '../../runtime/testing/memory-task.ts';
import { event, T0 } from '../../runtime/testing/samples.ts';
import { type SubTopology, sourcesOf, type Topology } from '../../runtime/topology/graph.ts';
import type { TopicValue } from '../../schemas/topics.ts';
import { Member } from './member.ts';
import type { SimulatedEvent } from './model.ts';
import { Random } from './random.ts';
import { INPUTS, simulatedTopology, WINDOW_MS } from './topology.ts';

export const PARTITIONS = 2;
const WORKERS = 3;
const STEPS = 80;
const BATCHES = 16;
/** Steps of the end, when nothing fails any more; a run that needs more does not come to rest. */
const MAX_HEALING_STEPS = 20_000;
const NEVER_IDLE_MS = 1e9;

/** What this seed likes to do, and how often: no two are alike, so that rare things meet. */
interface Habits {
  /** How often an await is stopped at. */
  readonly park: number;
  readonly crash: number;
  readonly zombie: number;
  readonly move: number;
  readonly lostAnswer: number;
  readonly wipe: number;
  readonly tick: number;
  readonly checkpoint: number;
  /** Partitions become silent, and event time follows the clock. */
  readonly idleness: boolean;
  readonly disorderMs: number;
  readonly maxEpochRecords: number;
  readonly flushEntries: number;
  readonly minLogBytes: number;
}

function habitsOf(random: Random): Habits {
  const rarely = () => (random.chance(0.5) ? random.next() * 0.1 : 0);
  return {
    park: random.pick([0.1, 0.5, 0.9]),
    crash: rarely(),
    zombie: rarely(),
    move: rarely(),
    lostAnswer: rarely(),
    wipe: random.pick([0, 0.2, 1]),
    tick: random.next() * 0.2,
    checkpoint: random.next() * 0.1,
    idleness: random.chance(0.3),
    disorderMs: random.pick([0, 10_000]),
    maxEpochRecords: random.pick([1, 3, 1_000]),
    flushEntries: random.pick([1, 10, 50, 1_000]),
    minLogBytes: random.pick([1_000, 10_000, 1e9]),
  };
}

type Slot = { readonly sub: SubTopology; readonly partition: number; owner: number };

/** Workers with tasks over one log, in a random schedule of everything that goes wrong. All of it follows from the seed. */
export class Simulation {
  readonly random: Random;
  readonly habits: Habits;
  readonly topology: Topology;
  readonly log: MemoryLog;
  /** What was sent, by topic and partition. */
  readonly sent: SimulatedEvent[][] = INPUTS.flatMap(() =>
    Array.from({ length: PARTITIONS }, () => []),
  );
  readonly #codec: MemoryCodec;
  readonly #slots: Slot[];
  #members: Member[] = [];
  readonly #disks = new Map<string, MemoryBackend>();
  #now = T0;
  #batches = 0;
  #ids = 0;
  #sinceRest = 0;
  /** How often each thing was done. */
  readonly done = new Map<string, number>();

  constructor(seed: number, codec: MemoryCodec) {
    this.random = new Random(seed);
    this.habits = habitsOf(this.random);
    this.#codec = codec;
    this.log = new MemoryLog(() => PARTITIONS);
    const { disorderMs, idleness } = this.habits;
    this.topology = simulatedTopology({
      disorderMs,
      idleAfterMs: idleness ? 5_000 : NEVER_IDLE_MS,
    });
    this.#slots = this.topology.subTopologies.flatMap((sub) =>
      Array.from({ length: PARTITIONS }, (_, partition) => ({
        sub,
        partition,
        owner: this.random.between(0, WORKERS - 1),
      })),
    );
  }

  /** The tasks that own their partitions now. */
  get tasks(): readonly Member[] {
    return this.#members.filter((member) => !member.gone && !member.zombie);
  }

  async run(): Promise<void> {
    for (let step = 0; step < STEPS; step += 1) {
      await this.#step();
      await this.#settled();
    }
    await this.#heal();
  }

  /** All that follows without another decision has happened. */
  async #settled(): Promise<void> {
    await turn();
    for (const { bug, id } of this.#members) {
      if (bug !== undefined) throw new Error(`task ${id} failed`, { cause: bug });
    }
    this.#members = this.#members.filter((member) => !member.gone || member.busy);
  }

  #count(what: string): void {
    this.done.set(what, (this.done.get(what) ?? 0) + 1);
  }

  async #step(): Promise<void> {
    const { random, habits } = this;
    if (this.#batches < BATCHES && random.chance(0.3)) this.#send();
    if (random.chance(habits.crash)) this.#crash();
    if (random.chance(habits.zombie)) this.#move('zombie');
    if (random.chance(habits.move)) this.#move('graceful');
    if (random.chance(habits.tick)) await this.#clock();
    if (random.chance(habits.checkpoint)) this.#checkpoint();
    const parked = this.#members.filter((member) => member.parked !== undefined);
    if (parked.length > 0 && random.chance(0.6)) this.#resume(random.pick(parked));
    else this.#work();
  }

  #resume(member: Member): void {
    const isLost = member.task !== undefined && this.random.chance(this.habits.lostAnswer);
    this.#count(isLost ? 'lost answer' : `resume ${member.parked?.point ?? ''}`);
    const options = { code: 'COMMIT_FAILED', domain: 'external', retry: 'backoff' } as const;
    member.resume(isLost ? new ReachflowError('the answer was lost', options) : undefined);
  }

  /** Sends a few events: mostly new ones, in and out of order, some late; and some that were sent before. */
  #send(): void {
    const { random } = this;
    this.#batches += 1;
    for (let n = random.between(1, 6); n > 0; n -= 1) {
      const input = random.between(0, INPUTS.length - 1);
      const known = this.sent[input * PARTITIONS + random.between(0, PARTITIONS - 1)] ?? [];
      if (known.length > 0 && random.chance(0.15)) {
        this.#append(input, random.pick(known));
        this.#count('duplicate');
        continue;
      }
      this.#ids += 1;
      const id = `e${this.#ids}`;
      const key = `k${input}${random.between(0, 3)}`;
      this.#append(input, { id, key, tenant: `t${random.between(0, 2)}`, at: this.#eventTime() });
    }
    this.#now += random.between(0, 1_000);
    this.#sinceRest += 1_000;
  }

  #eventTime(): number {
    const { random, habits } = this;
    if (habits.idleness) return this.#now - random.between(0, 3_000);
    const behind = random.chance(0.15)
      ? random.between(0, 5 * WINDOW_MS)
      : random.between(0, 8_000);
    return T0 + this.#batches * 15_000 - behind;
  }

  #append(input: number, one: SimulatedEvent): void {
    const { id, key, tenant, at } = one;
    const partition = partitionOfKey(key, PARTITIONS);
    this.sent[input * PARTITIONS + partition]?.push(one);
    const topic = INPUTS[input] ?? 'event.recorded';
    const value =
      topic === 'event.recorded'
        ? this.#codec.encode(topic, event({ event_id: id, tenant_id: tenant }))
        : this.#codec.encode(topic, inserted(Number(id.slice(1)), tenant));
    const keyBytes = this.#codec.encodeKey(topic, key);
    this.log.append(topic, partition, { key: keyBytes, value, timestamp: at });
  }

  /** As a snapshot does, at any moment, also while a commit is under way: what is committed comes to the disk. */
  #checkpoint(): void {
    const open = this.#members.filter(({ task }) => task !== undefined);
    if (open.length === 0) return;
    this.#count('checkpoint');
    this.random.pick(open).task?.state.flush();
  }

  #crash(): void {
    const worker = this.random.between(0, WORKERS - 1);
    this.#count('crash');
    for (const member of this.#members) if (member.worker === worker) member.crash();
    this.#members = this.#members.filter((member) => !member.gone);
  }

  #move(kind: 'zombie' | 'graceful'): void {
    const slot = this.random.pick(this.#slots);
    const to = this.random.between(0, WORKERS - 1);
    const holder = this.#holder(slot);
    if (to === slot.owner) return;
    if (kind === 'graceful' && holder !== undefined) {
      if (!holder.ready) return;
      holder.begin(async () => {
        await holder.task?.close();
        holder.gone = true;
      });
    }
    if (kind === 'zombie' && holder !== undefined) holder.zombie = true;
    slot.owner = to;
    this.#count(kind);
  }

  #holder({ sub, partition }: Slot): Member | undefined {
    return this.#members.find(
      (member) =>
        member.sub === sub && member.partition === partition && !member.gone && !member.zombie,
    );
  }

  /** Opens a task that nobody has, or gives one a batch. */
  #work(): void {
    const { random } = this;
    const missing = this.#slots.filter((slot) => this.#holder(slot) === undefined);
    if (missing.length > 0 && random.chance(0.5)) {
      this.#open(random.pick(missing));
      return;
    }
    const ready = this.#members.filter((member) => member.ready);
    if (ready.length > 0) this.#feed(random.pick(ready), random.between(1, 8));
  }

  #open({ sub, partition, owner }: Slot): void {
    const { habits, random } = this;
    const member = new Member(owner, sub, partition);
    const disk = `${owner}/${member.id}`;
    const inUse = this.#members.some((other) => other.worker === owner && other.id === member.id);
    const kept = inUse || random.chance(habits.wipe) ? undefined : this.#disks.get(disk);
    const backend = kept ?? emptyBackend(this.topology.name, sub, partition);
    this.#disks.set(disk, backend);
    this.#count(kept === undefined ? 'open without a disk' : 'open with a disk');
    // A disk stays when its task is closed; here that would empty it.
    backend.close = () => Promise.resolve();
    this.#members.push(member);
    member.begin(async () => {
      const task = await openMemoryTask({
        log: this.log,
        codec: this.#codec.codec,
        pipeline: this.topology.name,
        sub,
        partition,
        tables: new Map(),
        channelsOf: () => PARTITIONS,
        now: () => this.#now,
        maxEpochRecords: habits.maxEpochRecords,
        backend,
        state: {
          flushEntries: habits.flushEntries,
          flushMs: 1e12,
          minLogBytes: habits.minLogBytes,
          liveFactor: 1,
        },
        hook: (point) => (random.chance(this.#parking) ? member.park(point) : undefined),
      });
      member.task = task;
    });
  }

  #healing = false;

  get #parking(): number {
    return this.#healing ? 0 : this.habits.park;
  }

  /** Gives a task a batch, sometimes with records that it had already. Returns whether there was one. */
  #feed(member: Member, limit: number): boolean {
    const { task, partition } = member;
    if (task === undefined) return false;
    const topics = sourcesOf(member.sub).map(({ topic }) => topic);
    if (this.random.chance(0.5)) topics.reverse();
    for (const topic of topics) {
      const position = task.position(topic) ?? 0n;
      const again = this.random.chance(0.2) ? BigInt(this.random.between(1, 5)) : 0n;
      const from = position > again ? position - again : 0n;
      const batch = this.log.read(topic, partition, from, limit + Number(again));
      const { records, nextOffset, atEnd } = batch;
      if (nextOffset <= position) {
        if (atEnd) task.atEnd(topic);
        continue;
      }
      this.#count(from < position ? 'batch again' : 'batch');
      member.begin(async () => {
        if (records.length === 0) await task.skipTo(topic, nextOffset);
        else await task.run({ topic, records, nextOffset, atEnd }, () => Promise.resolve());
      });
      return true;
    }
    return false;
  }

  /** Lets time pass. Far jumps come at rest: what an idle partition sends after one is not behind the others. */
  async #clock(): Promise<void> {
    if (this.habits.idleness && this.random.chance(0.2)) await this.#rest();
    if (this.#sinceRest > 10_000) await this.#rest();
    this.#tickOne();
  }

  async #rest(): Promise<void> {
    this.#count('rest');
    await this.#comeToRest();
    this.#now += this.random.between(0, 200_000);
    this.#sinceRest = 0;
  }

  #tickOne(): void {
    const ready = this.#members.filter((member) => member.ready && this.#hasReadAll(member));
    if (ready.length === 0) return;
    const member = this.random.pick(ready);
    this.#count('tick');
    member.begin(async () => member.task?.tick());
  }

  #hasReadAll({ sub, task, partition }: Member): boolean {
    return sourcesOf(sub).every(({ topic }) => {
      const read = this.log.read(topic, partition, task?.position(topic) ?? 0n, 1);
      return read.records.length === 0 && read.atEnd;
    });
  }

  /** Nothing goes wrong any more: everything is opened, read and committed. */
  async #comeToRest(): Promise<void> {
    this.#healing = true;
    for (let steps = 0; steps < MAX_HEALING_STEPS; steps += 1) {
      let moved = false;
      for (const member of this.#members) {
        if (member.parked !== undefined) {
          member.resume();
          moved = true;
        } else if (member.ready && !member.zombie) {
          moved = this.#feed(member, 1_000) || moved;
        }
      }
      for (const slot of this.#slots) {
        if (this.#holder(slot) !== undefined) continue;
        this.#open(slot);
        moved = true;
      }
      await this.#settled();
      if (!moved && this.#members.every(({ busy }) => !busy)) {
        this.#healing = false;
        return;
      }
    }
    throw new Error('the simulation does not come to rest');
  }

  /** The end: zombies are let go on and found out, then all windows close. */
  async #heal(): Promise<void> {
    while (this.#batches < BATCHES) this.#send();
    await this.#comeToRest();
    for (const member of this.#members)
      if (member.zombie && member.ready) this.#feed(member, 1_000);
    await this.#settled();
    this.#members = this.#members.filter(({ zombie }) => !zombie);
    await this.#comeToRest();
    this.#healing = true;
    // Twice: the second half second tells what the first brought about, through repartition topics.
    for (const ms of [2 * NEVER_IDLE_MS, 1_000, 1_000]) {
      this.#now += ms;
      for (const member of this.#members) member.begin(async () => member.task?.tick());
      await this.#settled();
      await this.#comeToRest();
      this.#healing = true;
    }
  }
}

/** A row of the events table, as Debezium tells of it. */
function inserted(id: number, tenant_id: string): TopicValue<'cdc.public.events'> {
  const after = { id, tenant_id, contact_id: null, kind: null, occurred_at: null, props: null };
  const source = {
    ts_ms: T0,
    snapshot: null,
    table: 'events',
    lsn: 1n,
    sequence: null,
    file: null,
    pos: null,
    row: null,
  };
  return { op: 'c', before: null, after, source, ts_ms: T0 };
}
