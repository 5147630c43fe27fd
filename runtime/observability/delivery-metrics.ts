import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import { LabelGuard } from './label-guard.ts';

/** What a sink counts, in plain numbers: runtime/delivery/store-gate.ts. */
export interface SinkCounts {
  readonly delivered: number;
  readonly deadLettered: number;
  readonly retries: number;
  readonly recordRetries: number;
  /** ms since the epoch; 0 when its store is well. */
  readonly sickSince: number;
  /** How often the breaker got into a state. */
  readonly breakerChanges: Readonly<Record<SinkStanding['breaker'], number>>;
}

/** How a sink stands: asked for at each scrape. */
export interface SinkStanding {
  readonly breaker: 'closed' | 'half-open' | 'open';
  readonly parkedKeys: number;
  readonly parkedRecords: number;
}

interface KnownSink {
  readonly counts: SinkCounts;
  readonly standing: () => SinkStanding;
}

export interface SinkMetrics {
  /** A batch was offered to the store, whatever became of it. */
  wrote(records: number, ms: number): void;
  close(): void;
}

/** Seconds. */
const WRITE_BUCKETS = [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];
const REQUEST_BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];
const BATCH_BUCKETS = [1, 10, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000];

const BREAKER_VALUES = { closed: 0, 'half-open': 1, open: 2 } as const;

/** What sinks, connectors and DLQs count. */
export class DeliveryMetrics {
  readonly #sinks = new Map<string, KnownSink>();
  readonly #writeSeconds: Histogram<'sink'>;
  readonly #batchRecords: Histogram<'sink'>;
  readonly #deadLetters: Counter<'topic' | 'consumer' | 'code'>;
  readonly #requests: Counter<'source' | 'status'>;
  readonly #requestSeconds: Histogram<'source'>;
  readonly #secretReloads: Counter<'source' | 'outcome'>;
  readonly #codes = new LabelGuard();
  readonly #sources = new LabelGuard();

  constructor(registry: Registry) {
    const registers = [registry];
    this.#writeSeconds = new Histogram({
      name: 'reachflow_sink_write_duration_seconds',
      help: 'How long a store took to answer a batch.',
      labelNames: ['sink'],
      buckets: WRITE_BUCKETS,
      registers,
    });
    this.#batchRecords = new Histogram({
      name: 'reachflow_sink_batch_records',
      help: 'Records of a batch offered to a store.',
      labelNames: ['sink'],
      buckets: BATCH_BUCKETS,
      registers,
    });
    this.#deadLetters = new Counter({
      name: 'reachflow_dlq_records_total',
      help: 'Records written to a DLQ, by the topic they came from, who gave up and why.',
      labelNames: ['topic', 'consumer', 'code'],
      registers,
    });
    this.#requests = new Counter({
      name: 'reachflow_webhook_requests_total',
      help: 'Webhook requests answered, by source and HTTP status.',
      labelNames: ['source', 'status'],
      registers,
    });
    this.#requestSeconds = new Histogram({
      name: 'reachflow_webhook_request_duration_seconds',
      help: 'From the head of a webhook request to its answer, the publication with it.',
      labelNames: ['source'],
      buckets: REQUEST_BUCKETS,
      registers,
    });
    this.#secretReloads = new Counter({
      name: 'reachflow_webhook_secret_reloads_total',
      help: 'Files of webhook secrets read anew, by outcome: reloaded, or failed, which leaves the old secrets active.',
      labelNames: ['source', 'outcome'],
      registers,
    });
    this.#addSinkCounts(registry);
  }

  /** One dead letter: when it is acknowledged, or its transaction is about to commit. */
  deadLetter(topic: string, consumer: string, code: string): void {
    this.#deadLetters.inc({ topic, consumer, code: this.#codes.of(code) });
  }

  /** @param source a configured one; anything else is to be named `unknown`. */
  webhookRequest(source: string, status: number, ms: number): void {
    const known = this.#sources.of(source);
    this.#requests.inc({ source: known, status: String(status) });
    this.#requestSeconds.observe({ source: known }, ms / 1_000);
  }

  /** A file of secrets was read anew, or could not be. */
  webhookSecrets(source: string, outcome: 'reloaded' | 'failed'): void {
    this.#secretReloads.inc({ source: this.#sources.of(source), outcome });
  }

  /** A sink that starts. Its counts are read at each scrape; one of the same name goes on from zero. */
  sink(name: string, counts: SinkCounts, standing: () => SinkStanding): SinkMetrics {
    const known = { counts, standing };
    this.#sinks.set(name, known);
    const seconds = this.#writeSeconds.labels({ sink: name });
    const sizes = this.#batchRecords.labels({ sink: name });
    return {
      wrote(records, ms) {
        seconds.observe(ms / 1_000);
        sizes.observe(records);
      },
      close: () => void (this.#sinks.get(name) === known && this.#sinks.delete(name)),
    };
  }

  #addSinkCounts(registry: Registry): void {
    const registers = [registry];
    const sinks = this.#sinks;
    new Counter({
      name: 'reachflow_sink_records_total',
      help: 'Records by what became of them: delivered or dlq.',
      labelNames: ['sink', 'outcome'],
      registers,
      collect() {
        this.reset();
        for (const [sink, { counts }] of sinks) {
          const { delivered, deadLettered } = counts;
          this.inc({ sink, outcome: 'delivered' }, delivered);
          this.inc({ sink, outcome: 'dlq' }, deadLettered);
        }
      },
    });
    new Counter({
      name: 'reachflow_sink_retries_total',
      help: 'Batches that a store could not take and that were offered again.',
      labelNames: ['sink'],
      registers,
      collect() {
        this.reset();
        for (const [sink, { counts }] of sinks) this.inc({ sink }, counts.retries);
      },
    });
    new Gauge({
      name: 'reachflow_sink_away_seconds',
      help: 'For how long a store has taken nothing; 0 when it is well.',
      labelNames: ['sink'],
      registers,
      collect() {
        this.reset();
        for (const [sink, { counts }] of sinks) {
          const { sickSince } = counts;
          this.set({ sink }, sickSince === 0 ? 0 : Math.max(0, Date.now() - sickSince) / 1_000);
        }
      },
    });
    this.#addSinkStandings(registers);
  }

  #addSinkStandings(registers: Registry[]): void {
    const sinks = this.#sinks;
    const gauge = (name: string, help: string, read: (sink: KnownSink) => number) =>
      new Gauge({
        name,
        help,
        labelNames: ['sink'],
        registers,
        collect() {
          this.reset();
          for (const [sink, known] of sinks) this.set({ sink }, read(known));
        },
      });
    gauge(
      'reachflow_sink_breaker_state',
      'Breaker of the store: 0 closed, 1 half open, 2 open.',
      ({ standing }) => BREAKER_VALUES[standing().breaker],
    );
    new Counter({
      name: 'reachflow_sink_breaker_changes_total',
      help: 'How often the breaker of the store opened, began to probe it (half-open), and closed.',
      labelNames: ['sink', 'to'],
      registers,
      collect() {
        this.reset();
        for (const [sink, { counts }] of sinks)
          for (const [to, times] of Object.entries(counts.breakerChanges))
            this.inc({ sink, to }, times);
      },
    });
    gauge(
      'reachflow_sink_parked_keys',
      'Keys whose later records wait for one that is to be tried again.',
      ({ standing }) => standing().parkedKeys,
    );
    gauge(
      'reachflow_sink_parked_records',
      'Records in the retry topics that wait.',
      ({ standing }) => standing().parkedRecords,
    );
    new Counter({
      name: 'reachflow_sink_record_retries_total',
      help: 'Records sent to a retry topic, those that follow a parked record with them.',
      labelNames: ['sink'],
      registers,
      collect() {
        this.reset();
        for (const [sink, { counts }] of sinks) this.inc({ sink }, counts.recordRetries);
      },
    });
  }
}
