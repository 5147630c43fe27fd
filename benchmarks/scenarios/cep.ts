import { NOTHING_MATCHED } from '../../runtime/cep/match-state.ts';
import { Matcher } from '../../runtime/cep/matcher.ts';
import { pattern } from '../../runtime/cep/pattern.ts';
import { TopologyTestDriver } from '../../runtime/testing/topology-test-driver.ts';
import { defineTopology } from '../../runtime/topology/builder.ts';
import type { Topology } from '../../runtime/topology/graph.ts';
import { tumbling } from '../../runtime/topology/windows.ts';
import type { EventRecorded } from '../../schemas/types.ts';
import { ratiosTo, type Sample } from '../harness/report.ts';
import type { Scenario, ScenarioOptions } from '../harness/scenario.ts';

const KEYS = 1_000;
const TYPES = ['a', 'b', 'c', 'x'] as const;
const BATCH = 1_000;
const STEP_MS = 20;
const WITHIN_MS = 60_000;
const BASE_MS = Date.UTC(2026, 0, 1);

const is = (type: string) => (event: EventRecorded) => event.event_type === type;

const sequence = pattern<EventRecorded>()
  .begin('a', is('a'))
  .followedBy('b', is('b'))
  .followedBy('c', is('c'))
  .within(WITHIN_MS)
  .skipPastLast();

function counted(event_id: string, at: number) {
  return { tenant_id: event_id, window_start: at, window_end: at, count: 1, version: 1n };
}

const matching = defineTopology('bench-match', (t) => {
  t.stream('event.recorded', { name: 'events', maxAheadMs: 1e12 })
    .match('sequence', sequence)
    .map('out', ({ key, end }) => counted(key, end))
    .to('metric.tenant.count');
});

const counting = defineTopology('bench-window', (t) => {
  t.stream('event.recorded', { name: 'events', maxAheadMs: 1e12 })
    .groupByKey()
    .window(tumbling({ sizeMs: WITHIN_MS }))
    .count('per-minute', { emit: 'close' })
    .map('out', ({ key, end }) => counted(key, end))
    .to('metric.tenant.count');
});

/** Events in order of time, of keys and types that follow from the seed. */
function eventsOf(records: number, seed: number) {
  let state = seed >>> 0 || 1;
  const next = (below: number): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
  return Array.from({ length: records }, (_, index) => {
    const timestamp = BASE_MS + index * STEP_MS;
    const value: EventRecorded = {
      event_id: String(index),
      tenant_id: 't',
      source: 'bench',
      event_type: TYPES[next(TYPES.length)] ?? 'x',
      entity_id: 'e',
      occurred_at: timestamp,
      received_at: timestamp,
      payload: '{}',
    };
    return { key: `k${next(KEYS)}`, value, timestamp };
  });
}

type Events = ReturnType<typeof eventsOf>;

function cpuSeconds(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}

/** All of a task but the broker: decoding, state, changelog, outputs. */
async function inRuntime(
  topology: Topology,
  events: Events,
): Promise<{ cpu: number; out: number }> {
  const driver = await TopologyTestDriver.open(topology, { startMs: BASE_MS });
  try {
    const before = cpuSeconds();
    for (let at = 0; at < events.length; at += BATCH)
      await driver.pipeAll('event.recorded', events.slice(at, at + BATCH));
    const cpu = cpuSeconds() - before;
    await driver.advanceWatermark((events.at(-1)?.timestamp ?? BASE_MS) + 2 * WITHIN_MS);
    return { cpu, out: driver.readValues('metric.tenant.count').length };
  } finally {
    await driver.close();
  }
}

/** The automaton alone. */
function bare(events: Events): { cpu: number; out: number } {
  const matcher = new Matcher(sequence, { partialMatches: 1_000, events: 50_000 });
  const states = new Map<string, ReturnType<Matcher['accept']>['state']>();
  let out = 0;
  const before = cpuSeconds();
  for (const { key, value, timestamp } of events) {
    const advanced = matcher.advance(states.get(key) ?? NOTHING_MATCHED, timestamp);
    const taken = matcher.accept(advanced.state, value, timestamp);
    out += advanced.matches.length + taken.matches.length;
    states.set(key, taken.state);
  }
  const cpu = cpuSeconds() - before;
  for (const state of states.values()) out += matcher.advance(state, Infinity).matches.length;
  return { cpu, out };
}

async function run(options: ScenarioOptions): Promise<Sample[]> {
  const { records, runs, warmUp, seed, onProgress } = options;
  const events = eventsOf(records, seed);
  const samples: Sample[] = [];
  const expected = bare(events).out;
  await inRuntime(matching, events.slice(0, warmUp));
  await inRuntime(counting, events.slice(0, warmUp));
  for (let number = 1; number <= runs; number += 1) {
    onProgress(`run ${number} of ${runs} …`);
    const match = await inRuntime(matching, events);
    const window = await inRuntime(counting, events);
    const alone = bare(events);
    const of = (contestant: string, { cpu, out }: typeof match, exact?: boolean): Sample => ({
      contestant,
      run: number,
      figures: { perCpuSecond: records / cpu, out },
      ...(exact === undefined ? {} : { exact }),
    });
    samples.push(of('match', match, match.out === expected));
    samples.push(of('window count', window), of('automaton alone', alone));
  }
  return samples;
}

/** A pattern of three steps, in a task without its broker, against a window that counts the same events. */
export const cep: Scenario = {
  name: 'cep',
  summary:
    'a pattern of three steps within a minute, 1,000 keys: events per CPU-second, to a window count',
  peers: false,
  defaults: { records: 200_000, warmUp: 50_000 },
  async run(_environment, _contestants, options) {
    const samples = await run(options);
    return {
      columns: [
        { figure: 'perCpuSecond', title: 'events per CPU-second', digits: 0 },
        { figure: 'out', title: 'results', digits: 0 },
      ],
      samples,
      ratios: ratiosTo(samples, 'perCpuSecond', 'events per CPU-second', 'more'),
    };
  },
};
