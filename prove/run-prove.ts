import { randomBytes } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import type { StackEndpoints } from '../compose/endpoints.ts';
import { seededRandom } from '../demo/input/random.ts';
import { ClickhouseCounter } from './count/clickhouse.ts';
import { countDeadLetters } from './count/dead-letters.ts';
import { ElasticsearchCounter } from './count/elasticsearch.ts';
import { readOrder } from './count/order.ts';
import { readPostgres, readSource } from './count/postgres.ts';
import { type Count, countAll, isRight } from './count/verdict.ts';
import { proveEnvironment, workerLogFile } from './environment.ts';
import { Fleet } from './fleet.ts';
import { inflict } from './inflict.ts';
import { StoreLinks } from './links.ts';
import { LedgerLoad } from './load/ledger-load.ts';
import { WebhookLoad } from './load/webhook-load.ts';
import type { ProveDeps, ProveKafka, ProveOptions } from './options.ts';
import { isProved, reportText } from './report.ts';
import { planFaults } from './schedule.ts';
import { settle } from './settle.ts';
import { type BreakerChange, Watch } from './watch.ts';

/** Of the workers; a frozen one sleeps longer. */
export const SESSION_MS = 6_000;
/** What was on its way when the load ended may take so long to be answered, ms. */
const GRACE_MS = 30_000;
/** How long everything may take to arrive once all engines and workers run again, ms. */
const SETTLE_MS = 240_000;
const WHOLE_MS = 120_000;
const SAY_MS = 10_000;

/**
 * Puts load on the whole product while its workers, broker and stores are killed and frozen by a seeded plan, then
 * counts in every store what is missing, twice, out of order or not the newest.
 * @returns whether all counts are 0.
 * @throws ReachflowError when the engines or the workers do not even start.
 */
export async function runProve(options: ProveOptions, deps: ProveDeps): Promise<boolean> {
  const say = (text: string) => deps.stdout.write(`${text}\n`);
  say(`Seed ${options.seed}: the same seed repeats input and faults.`);
  // Its engines are its own, and begin empty: what is counted is of this run.
  await deps.resetStack(options.dir);
  say('Starting engines of its own (the first time, they are fetched before) …');
  const { endpoints } = await deps.upStack({ dir: options.dir, signal: deps.interrupted });
  const links = await StoreLinks.open(endpoints);
  try {
    return await new Run(options, deps, links, endpoints, say).prove();
  } finally {
    await links.close();
    if (options.keepStack)
      say(`The engines stay up: \`reachflow stack down --dir ${options.dir}\`.`);
    else await deps.downStack(options.dir);
  }
}

class Run {
  readonly #options: ProveOptions;
  readonly #deps: ProveDeps;
  readonly #links: StoreLinks;
  /** Past the links. */
  readonly #endpoints: StackEndpoints;
  readonly #say: (text: string) => void;
  readonly #clickhouse: ClickhouseCounter;
  readonly #elasticsearch: ElasticsearchCounter;
  readonly #ledger: LedgerLoad;
  readonly #webhooks: WebhookLoad;
  readonly #fleet: Fleet;
  readonly #env: Readonly<Record<string, string>>;
  readonly #watch: Watch;
  readonly #breakers: Record<BreakerChange, number> = { open: 0, 'half-open': 0, closed: 0 };
  #faults = 0;
  #began = performance.now();

  constructor(
    options: ProveOptions,
    deps: ProveDeps,
    links: StoreLinks,
    endpoints: StackEndpoints,
    say: (text: string) => void,
  ) {
    const { seed, dir, workers, webhooks, transactions, accounts } = options;
    this.#options = options;
    this.#deps = deps;
    this.#links = links;
    this.#endpoints = endpoints;
    this.#say = say;
    const secret = randomBytes(24).toString('hex');
    const hasOutages = options.faults.includes('outage');
    const sessionMs = SESSION_MS;
    this.#env = proveEnvironment({ endpoints, links, secret, sessionMs, hasOutages });
    this.#clickhouse = new ClickhouseCounter(endpoints.clickhouse);
    this.#elasticsearch = new ElasticsearchCounter(endpoints.elasticsearch.url);
    this.#ledger = new LedgerLoad({
      url: endpoints.postgres.url,
      random: seededRandom(seed + 1),
      size: { accounts, tellers: 10, branches: 2 },
      rate: transactions,
    });
    this.#fleet = new Fleet({
      count: workers,
      cliPath: deps.cliPath,
      env: (worker) => ({
        ...this.#env,
        REACHFLOW_STATE_DIR: `${dir}/prove/state-${worker}`,
        REACHFLOW_WEBHOOK_SPOOL_DIR: `${dir}/prove/spool`,
        // Of several processes each spools for itself: events of a key that came to two of them lose their order (ADR 15),
        // which is counted here.
        REACHFLOW_WEBHOOK_SPOOL_ENABLED: String(workers === 1),
      }),
      logFile: (worker) => workerLogFile(dir, worker),
      onLoss: (worker, how) => say(`  worker ${worker} ended by itself: ${how.split('\n')[0]}`),
    });
    this.#webhooks = new WebhookLoad({
      secret,
      random: seededRandom(seed + 2),
      runId: `r${seed}`,
      rate: webhooks,
      urls: () => this.#fleet.urls,
    });
    this.#watch = new Watch({
      urls: () => this.#fleet.observabilityUrls,
      onBreaker: (sink, to, times) => this.#onBreaker(sink, to, times),
    });
  }

  async prove(): Promise<boolean> {
    const { workers, dir } = this.#options;
    await this.#ledger.prepare();
    this.#say(`Starting ${workers} workers; their logs: ${dir}/prove/worker-<n>.log`);
    let kafka: ProveKafka | undefined;
    try {
      await this.#fleet.start();
      await this.#clickhouse.prepare();
      kafka = await this.#deps.openKafka(this.#env);
      this.#began = performance.now();
      this.#watch.start();
      await this.#play();
      const durationMs = performance.now() - this.#began;
      const counts = await this.#count(kafka);
      const totals = {
        seed: this.#options.seed,
        durationMs,
        faults: this.#faults,
        webhooks: this.#webhooks.accepted.size,
        transactions: this.#ledger.committed,
        deadLetters: await countDeadLetters(kafka.client),
        losses: this.#fleet.losses,
        peakMiB: this.#watch.peakMiB,
        opened: this.#breakers.open,
        closed: this.#breakers.closed,
      };
      this.#say(`\n${reportText(counts, totals)}`);
      for (const refused of this.#webhooks.refused.slice(0, 5))
        this.#say(`  a webhook was refused: ${refused}`);
      return isProved(counts, totals) && this.#webhooks.refused.length === 0;
    } finally {
      await this.#watch.stop();
      await this.#fleet.close();
      await kafka?.close();
      await this.#clickhouse.close();
      await this.#elasticsearch.close();
    }
  }

  /** Load and faults, for the time given, or for as long as the faults take. */
  async #play(): Promise<void> {
    const { durationMs, seed, dir, faults: groups } = this.#options;
    const plan = planFaults(seededRandom(seed), { durationMs, sessionMs: SESSION_MS, groups });
    this.#say(`Load for ${Math.round(durationMs / 1_000)} s, with ${plan.length} faults.`);
    const { interrupted } = this.#deps;
    const over = new AbortController();
    const ended = AbortSignal.any([interrupted, over.signal]);
    const timer = setInterval(() => this.#sayNow(this.#progress()), SAY_MS);
    try {
      const load = [this.#ledger.run(ended), this.#webhooks.run(ended, GRACE_MS)];
      this.#faults = await inflict(plan, {
        dir,
        fleet: this.#fleet,
        links: this.#links,
        random: seededRandom(seed + 3),
        onFault: (text) => this.#sayNow(text),
        signal: ended,
      });
      const left = Math.max(0, this.#began + durationMs - performance.now());
      await delay(left, undefined, { signal: ended }).catch(() => undefined);
      over.abort();
      await Promise.all(load);
    } finally {
      over.abort();
      clearInterval(timer);
    }
  }

  #sayNow(text: string): void {
    const seconds = (performance.now() - this.#began) / 1_000;
    this.#say(`${seconds.toFixed(0).padStart(4)} s  ${text}`);
  }

  #onBreaker(sink: string, to: BreakerChange, times: number): void {
    this.#breakers[to] += times;
    this.#sayNow(`breaker of ${sink}: ${to}${times > 1 ? ` (${times}×)` : ''}`);
  }

  #progress(): string {
    const { accepted } = this.#webhooks;
    const { committed } = this.#ledger;
    return `${accepted.size} webhooks accepted, ${committed} transactions committed, ${this.#fleet.alive.length} of ${this.#options.workers} workers up`;
  }

  async #count(kafka: ProveKafka): Promise<readonly Count[]> {
    this.#say('The load has ended; waiting until everything has arrived …');
    await this.#fleet.whole(WHOLE_MS);
    return settle({
      look: () => this.#look(kafka),
      timeoutMs: SETTLE_MS,
      onLook: (found) => {
        const missing = found.reduce((sum, count) => sum + count.missing + count.stale, 0);
        if (!found.every(isRight)) this.#say(`  ${missing} rows have still to arrive or change`);
      },
    });
  }

  async #look({ client, codec }: ProveKafka): Promise<Count[]> {
    const { url } = this.#endpoints.postgres;
    return countAll({
      source: await readSource(url),
      stores: [
        await readPostgres(url),
        await this.#clickhouse.read(),
        await this.#elasticsearch.read(),
      ],
      accepted: this.#webhooks.accepted,
      unanswered: this.#webhooks.unanswered,
      order: await readOrder(client, codec),
    });
  }
}
