import { parkingKey } from '../../runtime/delivery/parking.ts';
import type { DeliveryMode } from '../../runtime/delivery/sink.ts';
import { SimulatedClock } from './delivery-clock.ts';
import { SimulatedMember } from './delivery-member.ts';
import { type Fate, SimulatedStore } from './delivery-stores.ts';
import { SimulatedBroker, type SimulatedLog } from './delivery-world.ts';
import { Random } from './random.ts';

/** What went wrong in a run; all empty when nothing did. */
export interface DeliveryVerdict {
  readonly stuck: boolean;
  readonly failures: readonly unknown[];
  /** Neither stored nor dead-lettered. */
  readonly missing: readonly bigint[];
  /** Stored twice; where rows are guarded by key and version beside the stream, only what was never in the retry topic. */
  readonly duplicate: readonly bigint[];
  /** Stored for the first time after a later one of its key, though not sent back meanwhile. */
  readonly reordered: readonly bigint[];
  /** Dead-lettered though good, or stored and dead-lettered. */
  readonly wronglyDead: readonly bigint[];
  /** What happened, to see that runs differ. */
  readonly seen: { readonly parked: number; readonly dead: number; readonly stored: number };
}

const HOUR = 3_600_000;

function originsOf({ records }: SimulatedLog): Set<bigint> {
  return new Set(
    records.map(({ headers }) => BigInt(String(headers['__reachflow.errors.offset']))),
  );
}

/** One partition, members that crash, leave and linger on, a store that comes and goes, records of all fates. */
export async function simulateDelivery(seed: number, mode: DeliveryMode): Promise<DeliveryVerdict> {
  const random = new Random(seed);
  const clock = new SimulatedClock(random);
  const lossRatio = random.pick([0, 0.02, 0.1]);
  const broker = new SimulatedBroker(clock, random, lossRatio);
  const store = new SimulatedStore(mode, clock, random, lossRatio);
  fill(broker.main, random);
  const members = [new SimulatedMember(broker, store, clock, random)];
  const start = clock.now();
  store.outage = { from: start + random.between(0, 300), to: start + random.between(0, 1_500) };
  let disturbances = random.between(0, 8);
  const disturb = (): void => {
    if (disturbances === 0) return;
    disturbances -= 1;
    replace(members, broker, store, clock, random);
    clock.after(random.between(5, 250), disturb);
  };
  clock.after(random.between(1, 200), disturb);
  const back = new Set<string>();
  let redrives = random.between(0, 6);
  const again = (): void => {
    if (redrives === 0) return;
    redrives -= 1;
    redrive(broker, back, random);
    clock.after(random.between(20, 400), again);
  };
  clock.after(random.between(20, 400), again);
  const isDone = () =>
    members.some(({ failures }) => failures.length > 0) ||
    (disturbances === 0 &&
      redrives === 0 &&
      broker.committedOf(broker.main) === broker.main.next &&
      broker.committedOf(broker.retry) === broker.retry.next &&
      (members.at(-1)?.lane.parkedKeys ?? 0) === 0);
  const done = await clock.run(isDone, HOUR);
  for (const member of members) member.crash();
  return verdict(
    broker,
    store,
    !done,
    members.flatMap(({ failures }) => failures),
    back,
  );
}

function fill(log: SimulatedLog, random: Random): void {
  const bad = random.pick([0, 0.02, 0.15]);
  const fates: readonly Fate[] = ['undecodable', 'rejected', 'heals', 'never'];
  for (let i = random.between(20, 90); i > 0; i -= 1) {
    const fate: Fate = random.chance(bad) ? random.pick(fates) : 'good';
    const key = random.chance(0.05) ? null : `k${random.between(0, 5)}`;
    log.append({ key, value: Buffer.from(JSON.stringify({ fate })) });
    if (random.chance(0.1)) log.skip(random.between(1, 3));
  }
}

/** Sends mended letters back, each record's once, as a redrive's transaction does. */
function redrive({ dlq, retry }: SimulatedBroker, back: Set<string>, random: Random): void {
  for (const { key, headers } of dlq.records) {
    const origin = String(headers['__reachflow.errors.offset']);
    if (back.has(origin) || random.chance(0.3)) continue;
    back.add(origin);
    retry.append({ key, value: Buffer.from(JSON.stringify({ fate: 'good' })), headers });
  }
  // What marks its end in the log.
  retry.skip(1);
}

/** The group moves on: the member is dead, or leaves in order, or does not know yet. */
function replace(
  members: SimulatedMember[],
  broker: SimulatedBroker,
  store: SimulatedStore,
  clock: SimulatedClock,
  random: Random,
): void {
  const old = members.at(-1);
  const next = () => {
    broker.generation += 1;
    members.push(new SimulatedMember(broker, store, clock, random));
  };
  const how = random.pick(['crash', 'leave', 'zombie'] as const);
  if (how === 'leave') {
    void old?.leave(random.pick([20, 200])).then(next);
    return;
  }
  if (how === 'crash') old?.crash();
  else clock.after(random.between(10, 400), () => old?.lane.kill());
  next();
}

function verdict(
  broker: SimulatedBroker,
  store: SimulatedStore,
  stuck: boolean,
  failures: readonly unknown[],
  back: ReadonlySet<string>,
): DeliveryVerdict {
  const dead = originsOf(broker.dlq);
  const retried = originsOf(broker.retry);
  const times = Map.groupBy(store.applied, ({ offset }) => offset);
  const fateOf = (value: Buffer | null) => (JSON.parse(String(value)) as { fate: Fate }).fate;
  const { records } = broker.main;
  const mayDie = new Set(
    records.flatMap(({ offset, value }) =>
      ['undecodable', 'rejected', 'never'].includes(fateOf(value)) ? [offset] : [],
    ),
  );
  const offsets = records.map(({ offset }) => offset);
  const exactlyOnce = store.mode === 'planned' || store.mode === 'transactional';
  return {
    stuck,
    failures,
    missing: offsets.filter((offset) => !times.has(offset) && !dead.has(offset)),
    duplicate: records.flatMap(({ offset, value }) => {
      const stored = times.get(offset) ?? [];
      // What the heir was refused and has parked, and a write that was under way when it healed has stored.
      const isExcused = fateOf(value) === 'heals' && stored.some(({ isLate }) => isLate);
      const isBeside = store.mode === 'transactional' && retried.has(offset);
      return exactlyOnce && !isBeside && !isExcused && stored.length > 1 ? [offset] : [];
    }),
    reordered: reordered(broker.main, store).filter((offset) => !back.has(String(offset))),
    wronglyDead: offsets.filter((offset) => dead.has(offset) && !mayDie.has(offset)),
    seen: { parked: retried.size, dead: dead.size, stored: times.size },
  };
}

/**
 * Records that were stored for the first time after a later one of their key. A store that takes records one by one may
 * take a later one in the very write that refuses the earlier: its versions are for that.
 */
function reordered(
  { records }: SimulatedLog,
  { applied, refused, mode }: SimulatedStore,
): bigint[] {
  const keys = new Map(records.map((record) => [record.offset, parkingKey(record)]));
  const firsts = new Map<bigint, number>();
  for (const { offset, write } of applied) if (!firsts.has(offset)) firsts.set(offset, write);
  const before = new Map<string, { readonly offset: bigint; readonly write: number }[]>();
  const wrong: bigint[] = [];
  for (const [offset, write] of firsts) {
    const key = keys.get(offset) ?? '';
    const earlier = before.get(key) ?? [];
    const isExcused = (of: number) => mode === 'idempotent' && refused.get(offset)?.has(of);
    if (earlier.some((one) => one.offset > offset && !isExcused(one.write))) wrong.push(offset);
    earlier.push({ offset, write });
    before.set(key, earlier);
  }
  return wrong;
}
