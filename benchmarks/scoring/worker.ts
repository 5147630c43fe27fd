/**
 * The scenario `scoring`, in a process of its own: features, score, encoding and state as in a task, with LMDB and epochs, but
 * without a broker. `node benchmarks/scoring/worker.ts --known 100000 --dir <directory>`; a line of JSON a phase.
 */
import { parseArgs } from 'node:util';
import { featureNames } from '../../pipelines/scoring/model/features.ts';
import { modelToPublish, openModel, scoreOf } from '../../pipelines/scoring/model/scoring-model.ts';
import { type ScoreInput, scoreStep } from '../../pipelines/scoring/steps/score.ts';
import { leadModel } from '../../pipelines/scoring/testing/models.ts';
import { openBackend, storesOf, TaskState } from '../../runtime/state/contract.ts';
import { MemoryCodec } from '../../runtime/testing/memory-codec.ts';
import { contact } from '../../runtime/testing/samples.ts';
import { NO_SOURCE } from '../../runtime/topology/record.ts';
import { usageOf } from '../harness/usage.ts';

const EPOCH = 1_000;
/** Records of a phase that is measured. */
const PHASE = 50_000;
/** Scores of the model alone. */
const EVALUATED = 500_000;
const AT = Date.UTC(2026, 0, 2);

const { values } = parseArgs({
  options: { known: { type: 'string', default: '100000' }, dir: { type: 'string', default: '' } },
});

const codec = await MemoryCodec.create();
const identity = { namespace: 'bench', pipeline: 'scoring', subTopology: 'activity', partition: 0 };
const stores = scoreStep.stores ?? [];
const backend = await openBackend({
  ...{ kind: 'lmdb', dir: values.dir, identity },
  stores: storesOf(stores),
});
const state = new TaskState(stores, backend);
const model = openModel(modelToPublish('lead', leadModel, AT), AT);

let scored = 0;
const processor = scoreStep.create({
  partition: 0,
  store: (spec) => state.store(spec),
  table: () => ({ get: () => model as never }),
  timers: { schedule: () => undefined, cancel: () => undefined },
  forward: (_key, value) => {
    scored += 1;
    if (value !== null) codec.encode('contact.scored', value);
  },
  forwardTo: () => undefined,
  now: Date.now,
  watermark: () => Number.NEGATIVE_INFINITY,
});
processor.onStart?.();

let offset = 0n;

/** CPU seconds that an epoch took. */
function epoch(inputs: readonly (readonly [string, ScoreInput])[]): number {
  const before = process.cpuUsage();
  for (const [key, value] of inputs)
    processor.process(value, { key, value, timestamp: AT, watermark: AT, source: NO_SOURCE });
  processor.endEpoch?.();
  state.housekeep(AT);
  offset += BigInt(state.takeChanges().length);
  state.committed(offset);
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1e6;
}

function phase(
  name: string,
  known: number,
  size: number,
  make: (n: number) => [string, ScoreInput],
) {
  const before = scored;
  let cpu = 0;
  for (let from = 0; from < size; from += EPOCH) {
    const count = Math.min(EPOCH, size - from);
    cpu += epoch(Array.from({ length: count }, (_, n) => make(from + n)));
  }
  const made = scored - before;
  const { residentMiB, anonymousMiB } = usageOf([process.pid]);
  const perCpuSecond = Math.round(made / cpu);
  const line = { phase: name, known, scored: made, perCpuSecond, residentMiB, anonymousMiB };
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

function evaluate(): void {
  const rows = Array.from({ length: 1_000 }, (_, row) =>
    Float32Array.from(featureNames, (_name, index) => ((row + 1) * (index + 7) * 2_654_435) % 17),
  );
  let sum = 0;
  const before = process.cpuUsage();
  for (let n = 0; n < EVALUATED; n += 1)
    sum += scoreOf(model, rows[n % rows.length] ?? new Float32Array());
  const { user, system } = process.cpuUsage(before);
  const perCpuSecond = Math.round((EVALUATED * 1e6) / (user + system));
  const line = { phase: 'model alone', known: 0, scored: EVALUATED, perCpuSecond };
  if (!(sum > 0)) throw new Error('the model gave no score');
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

evaluate();
const known = Number(values.known);
const amounts = featureNames.map((name) => (name === 'opens' ? 1 : 0));
phase('contacts', known, known, (n) => {
  const id = String(n);
  return [id, { kind: 'golden', contact: contact({ id, phone: '+442079460000' }) }];
});
phase('events', known, PHASE, (n) => {
  const id = String((n * 7_919) % known);
  return [id, { kind: 'activity', activity: { tenant: 't', contact: id, amounts } }];
});
await state.close();
