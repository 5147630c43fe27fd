import { randomBytes } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { ClickHouseLogLevel, createClient } from '@clickhouse/client';
import { pino } from 'pino';
import { loadAppConfig } from '../../cli/config.ts';
import { consoleOf } from '../../cli/console.ts';
import { startProductProcess } from '../../demo/product.ts';
import { allocatorEnvironment } from '../../runtime/process-memory.ts';
import type { Environment } from '../harness/environment.ts';
import type { Sample } from '../harness/report.ts';
import type { Scenario, ScenarioOptions } from '../harness/scenario.ts';
import { figuresOf, PERCENTILES, productEnvironment, send } from './freshness.ts';

const PER_SECOND = 1_000;
const DATABASE = 'reachflow_bench_console';
const CLI = new URL('../../cli/main.ts', import.meta.url).pathname;
/** How long the last event may take, ms. */
const TAIL_MS = 20_000;

/** Follows the chart `events` as a browser does. @param onValue each new value, as it comes. */
async function followEvents(
  url: string,
  onValue: (value: number) => void,
  signal: AbortSignal,
): Promise<void> {
  const { body } = await fetch(`${url}/api/charts/stream?tenant=bench&range=1h`, { signal });
  let rest = '';
  for await (const chunk of body?.pipeThrough(new TextDecoderStream()) ?? []) {
    const parts = (rest + chunk).split('\n\n');
    rest = parts.pop() ?? '';
    for (const part of parts) {
      const [, data] = /^event: chart\ndata: (.*)$/.exec(part) ?? [];
      if (data === undefined) continue;
      const { id, rows } = JSON.parse(data) as { readonly id: string; readonly rows?: unknown[][] };
      if (id === 'events' && rows !== undefined) onValue(Number(rows[0]?.[0] ?? 0));
    }
  }
}

async function measured(
  environment: Environment,
  run: number,
  { records, warmUp }: ScenarioOptions,
): Promise<Sample> {
  const arena = await environment.arena('console');
  const directory = await environment.directory('console');
  const secret = randomBytes(24).toString('hex');
  const env = productEnvironment(environment, arena.name, directory, secret, DATABASE);
  const product = await startProductProcess({
    cliPath: CLI,
    args: ['--only', 'webhook,events,clickhouse'],
    env: { ...allocatorEnvironment(), ...env },
    logFile: `${directory}/reachflow.log`,
  });
  const { config } = await loadAppConfig({
    env: { ...env, REACHFLOW_CONSOLE_PORT: '0' },
    cwd: directory,
  });
  const page = consoleOf(config, pino({ level: 'silent' }));
  const ended = new AbortController();
  try {
    await page.start();
    const sent: number[] = [];
    const ages: number[] = [];
    let shown = 0;
    const onValue = (value: number) => {
      // So many of those that were sent first are in the chart.
      for (const now = Date.now(); shown < value; shown += 1) {
        const at = sent[shown];
        if (at !== undefined && shown >= warmUp) ages.push(now - at);
      }
    };
    const following = followEvents(page.url() ?? '', onValue, ended.signal).catch(() => undefined);
    const onSend = (at: number) => sent.push(at);
    const options = { perSecond: PER_SECOND, onSend };
    const accepted = await send(product, secret, 'run', warmUp + records, options);
    const until = performance.now() + TAIL_MS;
    while (shown < accepted.size && performance.now() < until) await delay(50);
    ended.abort();
    await following;
    return {
      contestant: 'console',
      run,
      figures: figuresOf(ages),
      exact: accepted.size === warmUp + records && shown === accepted.size,
      detail: `${warmUp + records} sent, ${accepted.size} accepted, ${shown} in the chart`,
    };
  } finally {
    ended.abort();
    await page.stop();
    await product.stop();
    await arena.remove();
  }
}

/** From a webhook that is sent until the console's stream has a chart with it, all charts being followed. */
export const consoleFreshness: Scenario = {
  name: 'console-freshness',
  summary: 'from a webhook that is sent to the chart in a browser’s stream, at 1,000 a second',
  peers: false,
  defaults: { records: 30_000, warmUp: 10_000 },
  stores: ['clickhouse'],
  async run(environment, _contestants, options) {
    const { url, username, password } = environment.stores.clickhouse;
    const admin = createClient({
      ...{ url, username, password, log: { level: ClickHouseLogLevel.OFF } },
      request_timeout: 120_000,
    });
    const drop = () => admin.command({ query: `DROP DATABASE IF EXISTS ${DATABASE} SYNC` });
    const samples: Sample[] = [];
    for (let run = 1; run <= options.runs; run += 1) {
      options.onProgress(`run ${run} of ${options.runs} …`);
      await drop();
      samples.push(await measured(environment, run, options));
    }
    await drop();
    await admin.close();
    const columns = Object.keys(PERCENTILES).map((figure) => ({
      ...{ figure, title: `${figure.toUpperCase()} ms`, digits: 0 },
    }));
    return { columns, samples, ratios: [] };
  },
};
