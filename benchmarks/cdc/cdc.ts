import { loadavg } from 'node:os';
import type { ConnectProcess } from '../harness/connect-process.ts';
import type { Environment } from '../harness/environment.ts';
import { ratiosTo, type Sample } from '../harness/report.ts';
import type { Scenario, ScenarioOptions } from '../harness/scenario.ts';
import { contestants } from './contestants.ts';
import { Lane } from './lane.ts';
import { type Delays, measureDelays } from './latency.ts';
import { SourceTable } from './source-table.ts';
import { startWorker } from './worker.ts';

const PACE = { rowsPerSecond: 200, seconds: 20 };

/** Each round inserts rows once, and then each lane carries them, alone in the worker. */
async function rounds(
  lanes: readonly Lane[],
  table: SourceTable,
  { records, warmUp, runs, onProgress }: ScenarioOptions,
): Promise<Sample[]> {
  const samples: Sample[] = [];
  // Round 0 is of no account: all of them meet a worker whose code is compiled.
  for (let run = 0; run <= runs; run += 1) {
    const rows = run === 0 ? warmUp : records;
    const name = run === 0 ? 'warm-up' : `round ${run} of ${runs}`;
    onProgress(`${name}: inserting ${rows} rows …`);
    await table.insert(rows);
    // Whoever comes first meets code that is compiled for others: each does once in a few rounds.
    const first = run % lanes.length;
    for (const lane of [...lanes.slice(first), ...lanes.slice(0, first)]) {
      const { name: contestant } = lane.contestant;
      const load = (loadavg()[0] ?? 0).toFixed(1);
      onProgress(`${name}: ${contestant}, load ${load} …`);
      const { exact, ...figures } = await lane.carry(rows, onProgress);
      onProgress(`  ${figures.rowsPerSecond.toFixed(0)} rows/s`);
      const detail = `${rows} rows, load ${load}`;
      if (run > 0) samples.push({ contestant, run, figures: { ...figures }, exact, detail });
    }
  }
  const order = lanes.map((lane) => lane.contestant.name);
  return samples.sort((a, b) => order.indexOf(a.contestant) - order.indexOf(b.contestant));
}

async function compete(
  lanes: readonly Lane[],
  table: SourceTable,
  options: ScenarioOptions,
): Promise<Sample[]> {
  const { onProgress } = options;
  for (const lane of lanes) {
    onProgress(`${lane.contestant.name}: connector and slot …`);
    await lane.open(() => table.touch());
  }
  // All have been running since: what touched the table for one lane came into those before it, too.
  for (const lane of lanes) await lane.settle();
  const samples = await rounds(lanes, table, options);
  const delays = await paced(lanes, table, onProgress);
  return samples.map((sample) => {
    const mine = delays.get(sample.contestant);
    if (mine === undefined) return sample;
    const { exact, ...figures } = mine;
    return {
      ...sample,
      figures: { ...sample.figures, ...figures },
      exact: sample.exact === true && exact,
    };
  });
}

/** How soon a row is in each lane's topic, by the lane's contestant. */
async function paced(
  lanes: readonly Lane[],
  table: SourceTable,
  onProgress: (text: string) => void,
): Promise<ReadonlyMap<string, Delays>> {
  const delays = new Map<string, Delays>();
  for (const lane of lanes) {
    const { name } = lane.contestant;
    onProgress(`${name}: ${PACE.rowsPerSecond} rows/s for ${PACE.seconds} s …`);
    await lane.resume(() => table.touch());
    delays.set(name, await measureDelays(lane, table, PACE));
    await lane.halt();
  }
  return delays;
}

async function openLanes(
  environment: Environment,
  worker: ConnectProcess,
): Promise<{ lanes: Lane[]; remove: () => Promise<void> }> {
  const lanes: Lane[] = [];
  for (const contestant of contestants(environment.registryUrl)) {
    const arena = await environment.arena(`cdc-${contestant.label}`);
    lanes.push(new Lane(environment, arena, worker, contestant));
  }
  const remove = async () => {
    for (const lane of lanes) await lane.remove();
  };
  return { lanes, remove };
}

/** How fast inserted rows come into the topic, by converter; and how soon one does. */
export const cdc: Scenario = {
  name: 'cdc',
  summary:
    'inserted rows of Postgres in a topic, by converter: ours, JSON without schemas, Apicurio',
  peers: false,
  stores: ['postgres'],
  defaults: { records: 200_000, warmUp: 50_000 },
  async run(environment, _contestants, options) {
    const worker = await startWorker(
      environment,
      `bench-connect-${process.pid}`,
      options.onProgress,
    );
    const table = new SourceTable(environment.stores.postgres.url);
    let samples: Sample[] = [];
    try {
      await table.open();
      const { lanes, remove } = await openLanes(environment, worker);
      try {
        samples = await compete(lanes, table, options);
      } finally {
        await remove();
      }
    } finally {
      await table.close();
      await worker.end();
    }
    const columns = [
      { figure: 'rowsPerSecond', title: 'rows/s', digits: 0 },
      { figure: 'cpuPer10K', title: 'worker CPU-s per 10 K', digits: 2 },
      { figure: 'pace', title: 'paced, rows/s', digits: 0 },
      { figure: 'p50', title: 'p50 ms', digits: 0 },
      { figure: 'p95', title: 'p95 ms', digits: 0 },
      { figure: 'p99', title: 'p99 ms', digits: 0 },
    ];
    const ratios = [
      ...ratiosTo(samples, 'rowsPerSecond', 'rows per second', 'more'),
      ...ratiosTo(samples, 'cpuPer10K', 'CPU per row', 'less'),
    ];
    return { columns, samples, ratios };
  },
};
