import { Counter, Histogram, type Registry } from 'prom-client';
import { addCounters, newTaskCounters, type TaskCounters } from '../task/counters.ts';
import type { DeliveryMetrics } from './delivery-metrics.ts';
import { LabelGuard } from './label-guard.ts';

/** An epoch that was committed. */
export interface EpochMeasure {
  /** From its first record to the end of its commit, ms. */
  readonly epochMs: number;
  readonly commitMs: number;
  /** Kafka timestamp of its first record, ms since the epoch; absent when that is no time of writing. */
  readonly oldestMs?: number | undefined;
}

/** The metrics of one task, from when it is opened until it is let go of. */
export interface TaskMetrics {
  /** From now on these are read. A task that is opened anew has new ones: the old ones are kept in the sums. */
  attach(counts: TaskCounters): void;
  epoch(measure: EpochMeasure): void;
  /** Records of a changelog were read to rebuild state. */
  restored(records: number): void;
  /** It failed and is opened again. */
  restarted(): void;
  /** A record of this topic goes to the DLQ. */
  deadLetter(topic: string, code: string): void;
  /** Its counts stay in the sums: counters never go down while a process lives. */
  close(): void;
}

interface Group {
  readonly pipeline: string;
  readonly subtopology: string;
  /** Sums over the tasks that there have been. */
  readonly retired: TaskCounters;
  readonly open: Set<TaskCounters>;
}

/** Seconds; an epoch is about 100 ms. */
const EPOCH_BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];
/** Seconds, from the broker's timestamp: up to what a backlog makes of it. */
const LATENCY_BUCKETS = [0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.2, 2.5, 5, 10, 30, 60, 300];

const SUB = ['pipeline', 'subtopology'] as const;
type SubLabel = (typeof SUB)[number];

/** Everything that is counted of tasks, over all of a process. */
export class TaskMetricsSet {
  readonly #registry: Registry;
  readonly #delivery: DeliveryMetrics;
  readonly #groups = new Map<string, Group>();
  readonly #epochSeconds: Histogram<SubLabel>;
  readonly #commitSeconds: Histogram<SubLabel>;
  readonly #latencySeconds: Histogram<SubLabel>;
  readonly #restored: Counter<SubLabel>;
  readonly #restarts: Counter<SubLabel>;

  constructor(registry: Registry, delivery: DeliveryMetrics) {
    this.#delivery = delivery;
    const registers = [registry];
    const labelNames = SUB;
    this.#epochSeconds = new Histogram({
      name: 'reachflow_epoch_duration_seconds',
      help: 'From the first record of an epoch to the end of its commit.',
      labelNames,
      buckets: EPOCH_BUCKETS,
      registers,
    });
    this.#commitSeconds = new Histogram({
      name: 'reachflow_commit_duration_seconds',
      help: 'Kafka transaction of an epoch: from sending its outputs to the commit.',
      labelNames,
      buckets: EPOCH_BUCKETS,
      registers,
    });
    this.#latencySeconds = new Histogram({
      name: 'reachflow_record_latency_seconds',
      help: "From the Kafka timestamp of an epoch's first record to its commit: the longest of its records, as a rule.",
      labelNames,
      buckets: LATENCY_BUCKETS,
      registers,
    });
    this.#restored = new Counter({
      name: 'reachflow_restore_records_total',
      help: 'Changelog records read to rebuild state.',
      labelNames,
      registers,
    });
    this.#restarts = new Counter({
      name: 'reachflow_task_restarts_total',
      help: 'Times that a task failed and was opened again.',
      labelNames,
      registers,
    });
    this.#registry = registry;
    this.#deriveCounts();
    this.#deriveReasons();
  }

  /** For each opened task. Cheap, but not per record. */
  task(pipeline: string, subtopology: string): TaskMetrics {
    const group = this.#group(pipeline, subtopology);
    const labels = { pipeline, subtopology };
    const epochSeconds = this.#epochSeconds.labels(labels);
    const commitSeconds = this.#commitSeconds.labels(labels);
    const latencySeconds = this.#latencySeconds.labels(labels);
    let counts: TaskCounters | undefined;
    const retire = (): void => {
      if (counts === undefined) return;
      group.open.delete(counts);
      addCounters(group.retired, counts);
      counts = undefined;
    };
    return {
      attach(next) {
        if (next === counts) return;
        retire();
        counts = next;
        group.open.add(next);
      },
      epoch({ epochMs, commitMs, oldestMs }) {
        epochSeconds.observe(epochMs / 1_000);
        commitSeconds.observe(commitMs / 1_000);
        if (oldestMs !== undefined && oldestMs > 0) {
          latencySeconds.observe(Math.max(0, Date.now() - oldestMs) / 1_000);
        }
      },
      restored: (records) => this.#restored.inc(labels, records),
      restarted: () => this.#restarts.inc(labels),
      deadLetter: (topic, code) => this.#delivery.deadLetter(topic, pipeline, code),
      close: retire,
    };
  }

  #group(pipeline: string, subtopology: string): Group {
    const key = `${pipeline}.${subtopology}`;
    let group = this.#groups.get(key);
    if (group === undefined) {
      group = { pipeline, subtopology, retired: newTaskCounters(), open: new Set() };
      this.#groups.set(key, group);
      // From the first scrape on, so that an alert sees the first one as an increase.
      this.#restarts.inc({ pipeline, subtopology }, 0);
    }
    return group;
  }

  /** A counter that is computed at each scrape, from the counts of all tasks that there are and have been. */
  #derive<T extends string>(
    name: string,
    help: string,
    extra: readonly T[],
    fill: (
      totals: TaskCounters,
      add: (labels: Readonly<Record<T, string>>, n: number) => void,
    ) => void,
  ): void {
    const groups = this.#groups;
    new Counter<string>({
      name,
      help,
      labelNames: [...SUB, ...extra],
      registers: [this.#registry],
      collect() {
        this.reset();
        for (const { pipeline, subtopology, retired, open } of groups.values()) {
          const totals = newTaskCounters();
          for (const counts of [retired, ...open]) addCounters(totals, counts);
          fill(totals, (labels, n) => this.inc({ pipeline, subtopology, ...labels }, n));
        }
      },
    });
  }

  #deriveCounts(): void {
    this.#derive(
      'reachflow_records_total',
      'Records by outcome: in, out, dropped, dlq. With an empty step those of the whole task.',
      ['step', 'outcome'],
      (totals, add) => {
        add({ step: '', outcome: 'in' }, totals.recordsIn);
        add({ step: '', outcome: 'out' }, totals.recordsOut);
        add({ step: '', outcome: 'dropped' }, totals.dropped);
        add({ step: '', outcome: 'dlq' }, totals.deadLettered);
        for (const [step, sums] of totals.steps) {
          add({ step, outcome: 'in' }, sums.in);
          add({ step, outcome: 'dropped' }, sumOf(sums.dropped));
          add({ step, outcome: 'dlq' }, sumOf(sums.deadLettered));
        }
      },
    );
    this.#derive(
      'reachflow_bytes_total',
      'Bytes of record values read (in), and of batches written, the changelog with them (out).',
      ['direction'],
      ({ bytesIn, bytesOut }, add) => {
        add({ direction: 'in' }, bytesIn);
        add({ direction: 'out' }, bytesOut);
      },
    );
    this.#derive('reachflow_epochs_total', 'Epochs committed.', [], ({ epochs }, add) => {
      add({}, epochs);
    });
  }

  #deriveReasons(): void {
    const reasons = new LabelGuard();
    const codes = new LabelGuard();
    this.#derive(
      'reachflow_dropped_records_total',
      'Records that a step dropped, by its reason.',
      ['step', 'reason'],
      ({ steps }, add) => {
        for (const [step, { dropped }] of steps) {
          for (const [reason, n] of dropped) add({ step, reason: reasons.of(reason) }, n);
        }
      },
    );
    this.#derive(
      'reachflow_failed_records_total',
      'Records that a step could not handle, by error code; each is in a DLQ.',
      ['step', 'code'],
      ({ steps }, add) => {
        for (const [step, { deadLettered }] of steps) {
          for (const [code, n] of deadLettered) add({ step, code: codes.of(code) }, n);
        }
      },
    );
    this.#derive(
      'reachflow_late_records_total',
      'Records that came when their window took no more: redirected, dropped or dead-lettered.',
      ['step'],
      ({ steps }, add) => {
        for (const [step, { late, deadLettered, dropped }] of steps) {
          const n = late + (deadLettered.get('LATE') ?? 0) + (dropped.get('late') ?? 0);
          if (n > 0) add({ step }, n);
        }
      },
    );
  }
}

function sumOf(counts: ReadonlyMap<string, number>): number {
  let sum = 0;
  for (const n of counts.values()) sum += n;
  return sum;
}
