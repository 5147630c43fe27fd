import { isDeepStrictEqual } from 'node:util';
import { deadLetterInfo } from '../../runtime/delivery/dead-letter.ts';
import { TaskState } from '../../runtime/state/task-state.ts';
import type { MemoryCodec } from '../../runtime/testing/memory-codec.ts';
import { emptyBackend } from '../../runtime/testing/memory-task.ts';
import { entriesOf } from '../../runtime/testing/store-entries.ts';
import { groupOf, sourcesOf } from '../../runtime/topology/graph.ts';
import { changelogOf, dlqOf, type TopicName } from '../../schemas/topics.ts';
import type { Member } from './member.ts';
import { expectedOf } from './model.ts';
import { PARTITIONS, type Simulation } from './simulation.ts';
import { DUE, INPUTS } from './topology.ts';

function same(what: string, actual: unknown, expected: unknown): void {
  if (isDeepStrictEqual(actual, expected)) return;
  throw new Error(`${what}: ${inspect(actual)}, but it should be ${inspect(expected)}`);
}

function inspect(value: unknown): string {
  const plain = value instanceof Map ? [...value] : value;
  return JSON.stringify(plain, (_, part: unknown) =>
    typeof part === 'bigint' ? String(part) : part,
  );
}

function sorted<V>(map: ReadonlyMap<string, V>): [string, V][] {
  return [...map].sort(([a], [b]) => (a < b ? -1 : 1));
}

/** Compares what a simulation wrote and kept with the model. @throws Error saying what differs. */
export function check(simulation: Simulation, codec: MemoryCodec): void {
  const { log, sent, habits } = simulation;
  const expected = expectedOf(sent, habits.disorderMs);
  const read = <T extends TopicName>(topic: T) =>
    log.readTopic(topic).map(({ record }) => ({
      key: record.key?.toString() ?? '',
      value: codec.decode(topic, record.value ?? Buffer.alloc(0)),
    }));

  const numbered = Map.groupBy(read('webhook.received'), ({ key }) => key);
  const due = numbered.get(DUE)?.map(({ value }) => value.event_id) ?? [];
  numbered.delete(DUE);
  same('timers, each once', due.toSorted(), expected.due.toSorted());
  same(
    'events, each once, in the order of their key',
    sorted(numbered).map(([key, records]) => [key, records.map(({ value }) => value.event_id)]),
    sorted(expected.numbered),
  );
  const windows = read('metric.tenant.count').map(({ value }): [string, number] => [
    `${value.tenant_id} ${value.window_start}`,
    value.count,
  ]);
  same(
    'windows, each closed once',
    windows.toSorted(([a], [b]) => (a < b ? -1 : 1)),
    sorted(expected.windows),
  );
  const totals = Map.groupBy(read('contact.golden'), ({ key }) => key);
  for (const [tenant, records] of totals) {
    const counts = records.map(({ value }) => Number(value.id.split('#')[1]));
    same(
      `counts of ${tenant} grow`,
      counts,
      [...new Set(counts)].sort((a, b) => a - b),
    );
    same(`total of ${tenant}`, counts.at(-1), expected.totals.get(tenant));
  }
  same('late events', lateIds(simulation, codec), expected.late.toSorted());
  for (const task of simulation.tasks) checkState(simulation, task);
  checkStores(simulation, expected);
}

function lateIds({ log, topology }: Simulation, codec: MemoryCodec): string[] {
  const letters = topology.subTopologies
    .flatMap((sub) => sourcesOf(sub))
    .flatMap(({ topic }) => log.readTopic(dlqOf(topic, topology.name)));
  return letters
    .map(({ record }) => {
      const { code, topic, message } = deadLetterInfo(record);
      const input = INPUTS.find((name) => name === topic);
      if (code !== 'LATE' || input === undefined)
        throw new Error(`a dead letter of ${topic}: ${code} ${message}`);
      const value = codec.decode(input, record.value ?? Buffer.alloc(0));
      return 'event_id' in value ? value.event_id : `e${value.after?.id}`;
    })
    .sort();
}

/** The state that the task has is what its changelog alone makes, and its positions are the ends. */
function checkState({ log, topology }: Simulation, { sub, partition, task, id }: Member): void {
  if (task === undefined) throw new Error(`${id} is not open`);
  for (const { topic } of sourcesOf(sub)) {
    const position = log.committed(groupOf(topology.name, sub.name), topic, partition) ?? 0n;
    same(`unread records of ${topic}`, log.read(topic, partition, position).records.length, 0);
  }
  const changelog = changelogOf(topology.name, sub.name);
  const specs = [...new Set(sub.nodes.flatMap(({ stores }) => stores))];
  const fresh = new TaskState(specs, emptyBackend(topology.name, sub, partition), { changelog });
  const from = fresh.startRestore(
    log.low(changelog, partition),
    log.lastStable(changelog, partition),
  );
  for (const { value, offset } of log.read(changelog, partition, from).records)
    if (value !== null) fresh.restore(value, offset + 1n);
  fresh.endRestore();
  for (const spec of specs) {
    const dump = (state: TaskState) => entriesOf(spec.name, state.store(spec) as never, partition);
    same(`${id}: ${spec.name} as restored`, dump(fresh), dump(task.state));
  }
  const meta = (state: TaskState) => state.getMeta('watermarks')?.toString('hex');
  same(`${id}: watermarks as restored`, meta(fresh), meta(task.state));
}

function checkStores(simulation: Simulation, expected: ReturnType<typeof expectedOf>): void {
  const stored = (sub: string, name: string) =>
    simulation.tasks
      .filter((member) => member.sub.name === sub)
      .flatMap(({ sub: { nodes }, task, partition }) => {
        const spec = nodes.flatMap(({ stores }) => stores).find((store) => store.name === name);
        if (spec === undefined || task === undefined) throw new Error(`no store ${name}`);
        return entriesOf(name, task.state.store(spec) as never, partition);
      });
  const byKey = (entries: ReturnType<typeof stored>) =>
    sorted(new Map(entries.map(({ key, value }) => [key, value])));
  const numbers = new Map([...expected.numbered].map(([key, list]) => [key, list.length]));
  same('tasks', simulation.tasks.length, simulation.topology.subTopologies.length * PARTITIONS);
  same('store numbers', byKey(stored('rows', 'numbers')), sorted(numbers));
  same('store totals', byKey(stored('totals', 'totals')), sorted(expected.totals));
  same('store minutes', stored('minutes', 'minutes'), []);
  const ids = new Set(simulation.sent.flat().map(({ id }) => id));
  same(
    'store once',
    stored('rows', 'once')
      .map(({ key }) => key)
      .toSorted(),
    [...ids].sort(),
  );
}
