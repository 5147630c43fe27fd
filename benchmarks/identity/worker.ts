/**
 * The scenario `contacts`, in a process of its own: decodes, resolves, encodes and stores as a task does, with LMDB and epochs, but
 * without a broker. `node benchmarks/identity/worker.ts --known 100000,1000000 --dir <directory>`; a line of JSON a phase.
 */
import { parseArgs } from 'node:util';
import { recordStore } from '../../pipelines/identity/resolve/known-record.ts';
import { createResolveStep } from '../../pipelines/identity/resolve/resolve.ts';
import { NO_CALLS } from '../../runtime/operators/background-calls.ts';
import type { Processor } from '../../runtime/operators/process-api.ts';
import { openBackend, storesOf, TaskState } from '../../runtime/state/contract.ts';
import { MemoryCodec } from '../../runtime/testing/memory-codec.ts';
import { NO_SOURCE } from '../../runtime/topology/record.ts';
import type { ContactObserved } from '../../schemas/types.ts';
import { usageOf } from '../harness/usage.ts';
import { duplicate, person, updated } from './people.ts';

/** Input records of an epoch. */
const EPOCH = 1_000;
/** Records of a phase that is measured. */
const PHASE = 20_000;
const TIMESTAMP = Date.UTC(2026, 0, 2);

const { values } = parseArgs({
  options: { known: { type: 'string', default: '100000' }, dir: { type: 'string', default: '' } },
});

const codec = await MemoryCodec.create();
const identity = { namespace: 'bench', pipeline: 'identity', subTopology: 'resolve', partition: 0 };
const open = async () => {
  const stores = storesOf([recordStore]);
  const backend = await openBackend({ kind: 'lmdb', dir: values.dir, identity, stores });
  return new TaskState([recordStore], backend);
};

const counts = { golden: 0, events: 0, heldBack: 0 };

function processorOf(state: TaskState): Processor<ContactObserved> {
  const processor = createResolveStep({
    partition: 0,
    store: (spec) => state.store(spec),
    table: () => {
      throw new Error('it has no tables');
    },
    timers: { schedule: () => undefined, cancel: () => undefined },
    calls: NO_CALLS,
    forward: (_key, value) => {
      counts.golden += 1;
      if (value !== null) codec.encode('contact.unified', value);
    },
    forwardTo: (output, _key, value) => {
      if (output === 'held-back') {
        counts.heldBack += 1;
        codec.encode('contact.held_back', value as never);
      } else {
        counts.events += 1;
        codec.encode('contact.created', value as never);
      }
    },
    now: Date.now,
    watermark: () => Number.NEGATIVE_INFINITY,
  });
  processor.onStart?.();
  return processor;
}

let state = await open();
let processor = processorOf(state);
let offset = 0n;

/** CPU seconds that an epoch took; the records are encoded before it. */
function epoch(records: readonly ContactObserved[]): number {
  const encoded = records.map((record) => codec.encode('contact.observed', record));
  const before = process.cpuUsage();
  for (const bytes of encoded) {
    const value = codec.decode('contact.observed', bytes);
    if (value === null) throw new Error('no value');
    processor.process(value, {
      ...{ key: value.tenant_id, value, timestamp: TIMESTAMP, watermark: TIMESTAMP },
      source: NO_SOURCE,
    });
  }
  state.housekeep(TIMESTAMP);
  offset += BigInt(state.takeChanges().length);
  state.committed(offset);
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1e6;
}

function phase(
  name: string,
  known: number,
  size: number,
  make: (n: number) => ContactObserved,
): void {
  const before = { ...counts };
  let cpu = 0;
  for (let from = 0; from < size; from += EPOCH) {
    const count = Math.min(EPOCH, size - from);
    cpu += epoch(Array.from({ length: count }, (_, n) => make(from + n)));
  }
  const { residentMiB, anonymousMiB } = usageOf([process.pid]);
  const made = {
    golden: counts.golden - before.golden,
    events: counts.events - before.events,
    heldBack: counts.heldBack - before.heldBack,
  };
  const rate = Math.round(size / cpu);
  const line = {
    phase: name,
    known,
    records: size,
    perCpuSecond: rate,
    residentMiB,
    anonymousMiB,
    ...made,
  };
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

let people = 0;
let version = 1;
for (const known of values.known.split(',').map(Number)) {
  const growing = Math.max(0, known - people - PHASE);
  const from = people;
  phase('grow', known, growing, (n) => person(from + n + 1));
  people += growing;
  const last = people;
  phase('new', known, PHASE, (n) => person(last + n + 1));
  people += PHASE;
  version += 1;
  const now = version;
  const spread = Math.max(1, Math.floor(people / PHASE));
  phase('update', known, PHASE, (n) => updated(1 + n * spread, now));
  phase('duplicate', known, PHASE, (n) => duplicate(1 + n * spread));
}
await state.close();
const began = process.cpuUsage();
const start = performance.now();
state = await open();
processor = processorOf(state);
const used = process.cpuUsage(began);
const reopened = {
  phase: 'reopen',
  known: people,
  ms: Math.round(performance.now() - start),
  cpuSeconds: (used.user + used.system) / 1e6,
};
process.stdout.write(`${JSON.stringify(reopened)}\n`);
await state.close();
