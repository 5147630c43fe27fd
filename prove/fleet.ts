import { setTimeout as delay } from 'node:timers/promises';
import { heapFlags } from '../cli/workers/memory.ts';
import { type ProductProcess, startProductProcess } from '../demo/product.ts';
import { errorMessage } from '../runtime/errors.ts';
import { allocatorEnvironment } from '../runtime/process-memory.ts';

export interface FleetOptions {
  readonly count: number;
  readonly cliPath: string;
  /** Environment of the n-th worker. */
  readonly env: (worker: number) => Readonly<Record<string, string>>;
  readonly logFile: (worker: number) => string;
  /** A worker that ended by itself: it is started again, and counted. */
  readonly onLoss: (worker: number, how: string) => void;
}

const RESTART_MS = 500;
/** What `workers.memoryMb` is by default, MiB: a worker's memory is as under `reachflow run --workers`. */
export const WORKER_MEMORY_MB = 512;

/** Worker processes, each `reachflow run`: who ends is followed by a new one, as under any supervisor. */
export class Fleet {
  /** Ends that nobody asked for. */
  losses = 0;
  readonly #options: FleetOptions;
  readonly #running = new Map<number, ProductProcess>();
  readonly #closing = new AbortController();
  #loops: Promise<void>[] = [];

  constructor(options: FleetOptions) {
    this.#options = options;
  }

  /** Starts all of them. @throws ReachflowError of the first that cannot start. */
  async start(): Promise<void> {
    const workers = Array.from({ length: this.#options.count }, (_, worker) => worker);
    // One after the other: the first makes topics and the connector.
    for (const worker of workers) this.#running.set(worker, await this.#spawn(worker));
    this.#loops = workers.map((worker) => this.#keepRunning(worker));
  }

  /** Those that take input now. */
  get alive(): readonly number[] {
    return [...this.#running.keys()];
  }

  /** Where webhooks are taken now. */
  get urls(): readonly string[] {
    return [...this.#running.values()].map(({ webhookUrl }) => webhookUrl);
  }

  /** Where they show their metrics now. */
  get observabilityUrls(): readonly string[] {
    return [...this.#running.values()].flatMap(({ observabilityUrl }) => observabilityUrl ?? []);
  }

  /** A signal that ends a worker, which is awaited; a new one follows. */
  async end(worker: number, signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
    const product = this.#running.get(worker);
    if (product === undefined) return;
    this.#running.delete(worker);
    product.kill(signal);
    await product.exited;
  }

  /** Stops a worker's clock for a while: it takes no webhooks, and its group goes on without it. */
  async freeze(worker: number, forMs: number): Promise<void> {
    const product = this.#running.get(worker);
    if (product === undefined) return;
    this.#running.delete(worker);
    product.kill('SIGSTOP');
    await delay(forMs, undefined, { signal: this.#closing.signal }).catch(() => undefined);
    product.kill('SIGCONT');
    const ended = await Promise.race([product.exited.then(() => true), delay(0, false)]);
    if (!ended) this.#running.set(worker, product);
  }

  async #keepRunning(worker: number): Promise<void> {
    let product = this.#running.get(worker);
    while (!this.#closing.signal.aborted) {
      if (product !== undefined) {
        const how = await product.exited;
        if (this.#closing.signal.aborted) return;
        if (this.#running.get(worker) === product) {
          this.#running.delete(worker);
          this.losses += 1;
          this.#options.onLoss(worker, how);
        }
      }
      await delay(RESTART_MS, undefined, { signal: this.#closing.signal }).catch(() => undefined);
      if (this.#closing.signal.aborted) return;
      product = await this.#spawn(worker).catch((error: unknown) => {
        // An engine that it needs at its start is away: the next try may find it.
        if (!this.#closing.signal.aborted) this.#options.onLoss(worker, errorMessage(error));
        return undefined;
      });
      if (product !== undefined) this.#running.set(worker, product);
    }
  }

  #spawn(worker: number): Promise<ProductProcess> {
    const { cliPath, env, logFile } = this.#options;
    return startProductProcess({
      cliPath,
      execArgv: heapFlags(WORKER_MEMORY_MB),
      env: { ...allocatorEnvironment(), ...env(worker) },
      logFile: logFile(worker),
      signal: this.#closing.signal,
    });
  }

  /** Resolves once every worker runs. */
  async whole(timeoutMs: number): Promise<boolean> {
    const deadline = performance.now() + timeoutMs;
    while (this.#running.size < this.#options.count) {
      if (performance.now() > deadline) return false;
      await delay(100);
    }
    return true;
  }

  /** Stops all of them in good order. */
  async close(): Promise<void> {
    this.#closing.abort();
    const stopping = [...this.#running.values()].map((product) => product.stop());
    await Promise.allSettled([...stopping, ...this.#loops]);
    await Promise.allSettled([...this.#running.values()].map((product) => product.stop()));
  }
}
