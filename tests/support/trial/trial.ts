import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { expect, vi } from 'vitest';
import type { StackEndpoints } from '../../../compose/endpoints.ts';
import { ensureTopics } from '../../../runtime/kafka/admin.ts';
import type { KafkaClient } from '../../../runtime/kafka/client.ts';
import { planTopics } from '../../../runtime/topic-plan.ts';
import type { TopicCodec } from '../../../schemas/codec.ts';
import { testStack } from '../../integration/stack.ts';
import { eventually, kafkaFixture } from '../kafka.ts';
import { untilProcessed } from '../processed.ts';
import type { Outcome } from './expected.ts';
import { expectedOf } from './expected.ts';
import { Load } from './load.ts';
import { readEvents, readInput, readWindows } from './observed.ts';
import { TrialWorker } from './process.ts';
import type { Random } from './random.ts';
import type { TaskReport, WorkerSettings } from './settings.ts';
import { trialTopology } from './topology.ts';
import { expectExactlyOnce } from './verdict.ts';

const PARTITIONS = 4;
const CLOSED_MS = 120_000;
/** Longest trial, ms: less than its test may take, so that what failed is told, and its processes are ended. */
const TRIAL_MS = 230_000;

// A trial takes a minute at most, unless others use the machine, too.
vi.setConfig({ testTimeout: TRIAL_MS + 20_000 });

export interface WorkerOptions
  extends Partial<Omit<WorkerSettings, 'brokers' | 'registryUrl' | 'namespace'>> {
  /** Runs the worker by this command, in a mount namespace for example. */
  readonly command?: readonly string[];
}

export interface TrialOptions {
  readonly random: Random;
  /** Engines of the test's own, to be disturbed. */
  readonly stack?: Pick<StackEndpoints, 'kafka' | 'registry'>;
  /** Event time of the load's first record, ms; a day ago by default. */
  readonly beginsAt?: number;
}

/**
 * A pipeline under load in a namespace of its own, whose workers are disturbed; in the end what came out is counted
 * against a plain recomputation of the input: see `expectExactlyOnce`.
 */
export class Trial {
  readonly random: Random;
  readonly load: Load;
  readonly client: KafkaClient;
  readonly codec: TopicCodec;
  readonly topology = trialTopology();
  readonly #dir = mkdtempSync(join(tmpdir(), 'reachflow-trial-'));
  readonly #stack: Pick<StackEndpoints, 'kafka' | 'registry'>;
  readonly #workers: TrialWorker[] = [];

  constructor({ random, stack = testStack(), beginsAt }: TrialOptions) {
    this.#stack = stack;
    this.random = random;
    const { client, codec } = kafkaFixture({}, stack);
    this.client = client;
    this.codec = codec;
    this.load = new Load(client, codec, random, beginsAt);
  }

  /** Creates the topics and, unless told otherwise, begins the load. */
  async start({ load = true }: { readonly load?: boolean } = {}): Promise<void> {
    await ensureTopics(this.client, planTopics([this.topology], [], PARTITIONS));
    if (load) this.load.begin();
  }

  /** For workers that follow each other on one machine. */
  newStateDir(): string {
    return mkdtempSync(join(this.#dir, 'state-'));
  }

  /** A worker process, which may not live long enough to be ready. State in a directory of its own by default. */
  startWorker({ command = [], ...options }: WorkerOptions = {}): TrialWorker {
    const dir = join(this.#dir, `worker-${this.#workers.length}`);
    const settings: WorkerSettings = {
      brokers: this.#stack.kafka.brokers,
      registryUrl: this.#stack.registry.url,
      namespace: this.client.config.namespace,
      stateDir: join(dir, 'state'),
      fixed: false,
      recordMs: 0,
      maxEpochRecords: 500,
      checkpoint: { target: 'none' },
      hooks: [],
      ...options,
    };
    const worker = new TrialWorker(dir, settings, command);
    this.#workers.push(worker);
    return worker;
  }

  /** A worker process; resolves when its first tasks run. */
  async addWorker(options: WorkerOptions = {}): Promise<TrialWorker> {
    const worker = this.startWorker(options);
    await worker.ready();
    return worker;
  }

  get workers(): readonly TrialWorker[] {
    return this.#workers;
  }

  /** Tasks of all workers that answer. */
  async tasks(): Promise<readonly TaskReport[]> {
    const running = this.#workers.filter((worker) => worker.running);
    return (await Promise.all(running.map((worker) => worker.tasks()))).flat();
  }

  /** Waits until nothing that was published is left to process, but does not end windows. */
  async processed(): Promise<void> {
    await this.load.stop();
    await untilProcessed(this.client, this.topology);
  }

  /** Ends the load, closes all windows, waits for the last, ends the workers and counts. */
  async finish(): Promise<Outcome> {
    await this.processed();
    await this.load.closeWindows(PARTITIONS);
    await this.#windowsClosed();
    await this.processed();
    for (const worker of this.#workers) {
      if (worker.running) expect(await worker.end('SIGTERM'), worker.logFile).toBe(0);
    }
    return expectExactlyOnce({
      client: this.client,
      codec: this.codec,
      partitions: PARTITIONS,
      published: this.load.published,
      stateDirs: this.#workers.map(({ stateDir }) => stateDir),
    });
  }

  /** The watermark comes to silent partitions by a heartbeat, so windows close a moment after the last record. */
  async #windowsClosed(): Promise<void> {
    const due = expectedOf(await readInput(this.client, this.codec, PARTITIONS));
    let found = '';
    await eventually(
      'all windows closed',
      async () => {
        const emitted = await readWindows(this.client, this.codec, PARTITIONS);
        const windows = new Set(emitted.map(({ window }) => window));
        found = `${windows.size} of ${due.windows.size}`;
        return windows.size >= due.windows.size;
      },
      CLOSED_MS,
    ).catch(() => {
      // What is missing is said in full by the count that follows.
      process.stderr.write(`windows not closed in time: ${found}\n`);
    });
  }

  /** Resolves once so many events have come out. */
  async recorded(events: number): Promise<void> {
    await eventually(`${events} events come out`, async () => {
      const ids = await readEvents(this.client, this.codec, PARTITIONS);
      return ids.flat().length >= events;
    });
  }

  /** Leaves no process behind. Logs are kept unless it passed. */
  async close(passed: boolean): Promise<void> {
    await Promise.all(this.#workers.map((worker) => worker.end('SIGKILL')));
    await this.load.close().catch(() => undefined);
    if (passed && process.env['REACHFLOW_TEST_LOG'] === undefined)
      rmSync(this.#dir, { recursive: true, force: true });
    else process.stderr.write(`logs of the trial's workers: ${this.#dir}\n`);
  }
}

/** Runs a trial, and leaves no process behind, whatever fails: then the workers' logs are kept. */
export async function withTrial(
  options: TrialOptions,
  body: (trial: Trial) => Promise<void>,
): Promise<void> {
  const trial = new Trial(options);
  const timer = new AbortController();
  const { signal } = timer;
  const tooLong = delay(TRIAL_MS, undefined, { signal }).then(() => {
    throw new Error(`the trial took longer than ${TRIAL_MS} ms`);
  });
  tooLong.catch(() => undefined);
  let passed = false;
  try {
    await Promise.race([body(trial), tooLong]);
    passed = true;
  } finally {
    timer.abort();
    await trial.close(passed);
  }
}
