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
  /** Stored twice, though never parked. */
  readonly duplicate: readonly bigint[];
  /** Stored for the first time after a later one of its key. */
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
  const isDone = () =>
    members.some(({ failures }) => failures.length > 0) ||
    (disturbances === 0 &&
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
): DeliveryVerdict {
  const dead = originsOf(broker.dlq);
  const parked = originsOf(broker.retry);
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
    duplicate: offsets.filter(
      (offset) => exactlyOnce && !parked.has(offset) && (times.get(offset)?.length ?? 0) > 1,
    ),
    reordered: reordered(broker.main, store),
    wronglyDead: offsets.filter((offset) => dead.has(offset) && !mayDie.has(offset)),
    seen: { parked: parked.size, dead: dead.size, stored: times.size },
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
