import { setTimeout as delay } from 'node:timers/promises';

const LOOK_MS = 1_000;
const TIMEOUT_MS = 3_000;
const MIB = 1_048_576;

/** States that a breaker gets into, in the order of its cycle. */
const CHANGES = ['open', 'half-open', 'closed'] as const;
export type BreakerChange = (typeof CHANGES)[number];

export interface Sighting {
  /** Resident memory, MiB; undefined when the text does not say. */
  readonly residentMiB: number | undefined;
  /** How often each sink's breaker got into a state. */
  readonly breakers: ReadonlyMap<string, Readonly<Record<BreakerChange, number>>>;
}

/** Reads what a worker's `/metrics` says in Prometheus' text format. */
export function parseMetrics(text: string): Sighting {
  const breakers = new Map<string, Record<BreakerChange, number>>();
  const pattern = /^reachflow_sink_breaker_changes_total\{sink="([^"]+)",to="([^"]+)"\} (\d+)$/gm;
  for (const [, sink = '', to, times] of text.matchAll(pattern)) {
    const change = CHANGES.find((one) => one === to);
    const known = breakers.get(sink) ?? { open: 0, 'half-open': 0, closed: 0 };
    breakers.set(sink, known);
    if (change !== undefined) known[change] = Number(times);
  }
  const resident = /^process_resident_memory_bytes (\S+)$/m.exec(text)?.[1];
  return { residentMiB: resident === undefined ? undefined : Number(resident) / MIB, breakers };
}

export interface WatchOptions {
  /** Where the workers that run now show themselves. */
  readonly urls: () => readonly string[];
  /** A breaker has changed since the last look, `times` over. */
  readonly onBreaker: (sink: string, to: BreakerChange, times: number) => void;
  /** A second by default, ms. */
  readonly everyMs?: number;
}

/** Looks at all workers' metrics again and again: how large they get, and what their breakers do. */
export class Watch {
  /** The largest resident memory of one worker at any look, MiB. */
  peakMiB = 0;
  looks = 0;
  readonly #options: WatchOptions;
  readonly #ended = new AbortController();
  /** The last look at a worker's life, by its URL; a new life has a new port. */
  readonly #last = new Map<string, Sighting>();
  #looking: Promise<void> = Promise.resolve();

  constructor(options: WatchOptions) {
    this.#options = options;
  }

  start(): void {
    this.#looking = this.#run();
  }

  async #run(): Promise<void> {
    const { signal } = this.#ended;
    while (!signal.aborted) {
      await Promise.all(this.#options.urls().map((url) => this.#look(url)));
      await delay(this.#options.everyMs ?? LOOK_MS, undefined, { signal }).catch(() => undefined);
    }
  }

  /** A worker that does not answer is being killed, or frozen. */
  async #look(url: string): Promise<void> {
    const signal = AbortSignal.timeout(TIMEOUT_MS);
    const text = await fetch(`${url}/metrics`, { signal }).then(
      (response) => (response.ok ? response.text() : undefined),
      () => undefined,
    );
    if (text === undefined) return;
    const sighting = parseMetrics(text);
    const last = this.#last.get(url);
    this.#last.set(url, sighting);
    this.looks += 1;
    this.peakMiB = Math.max(this.peakMiB, sighting.residentMiB ?? 0);
    for (const [sink, now] of sighting.breakers) {
      const before = last?.breakers.get(sink);
      for (const to of CHANGES) {
        const times = now[to] - (before?.[to] ?? 0);
        if (times > 0) this.#options.onBreaker(sink, to, times);
      }
    }
  }

  /** Looks no more. */
  async stop(): Promise<void> {
    this.#ended.abort();
    await this.#looking;
  }
}
