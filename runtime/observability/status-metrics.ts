import { Counter, Gauge, type Registry } from 'prom-client';
import {
  type InputStatus,
  type ProcessStatus,
  type TaskStatus,
  taskStates,
} from './process-status.ts';

const TASK = ['pipeline', 'subtopology', 'partition'] as const;
type TaskLabels = Record<(typeof TASK)[number], string>;

function labelsOf({ pipeline, subTopology, partition }: TaskStatus): TaskLabels {
  return { pipeline, subtopology: subTopology, partition: String(partition) };
}

/** One number of each task; tasks without it have no series. */
interface TaskGauge {
  readonly name: string;
  readonly help: string;
  readonly value: (task: TaskStatus, now: number) => number | undefined;
}

const BREAKER_VALUES = { closed: 0, 'half-open': 1, open: 2 } as const;

const TASK_GAUGES: readonly TaskGauge[] = [
  {
    name: 'reachflow_watermark_timestamp_seconds',
    help: 'Event time that a task has reached, as Unix time.',
    value: ({ watermark }) => (watermark === undefined ? undefined : watermark / 1_000),
  },
  {
    name: 'reachflow_watermark_delay_seconds',
    help: 'How far event time is behind the wall clock.',
    value: ({ watermark }, now) =>
      watermark === undefined ? undefined : Math.max(0, now - watermark) / 1_000,
  },
  {
    name: 'reachflow_state_entries',
    help: 'Entries in the stores of a task; what is still to be written there is not counted.',
    value: ({ stateEntries }) => stateEntries,
  },
  {
    name: 'reachflow_state_bytes',
    help: 'Size of the stores of a task, on disk where they are on disk.',
    value: ({ stateBytes }) => stateBytes,
  },
  {
    name: 'reachflow_restore_progress_ratio',
    help: 'Share of the changelog that a restore has read; 1 once it is over.',
    value: ({ restore, state }) => {
      if (state !== 'restoring') return restore === undefined ? undefined : 1;
      if (restore === undefined || restore.total <= 0) return 0;
      return Math.min(1, restore.done / restore.total);
    },
  },
  {
    name: 'reachflow_checkpoint_age_seconds',
    help: 'Since the newest complete checkpoint was taken.',
    value: ({ checkpoint }, now) =>
      checkpoint === undefined ? undefined : Math.max(0, now - checkpoint.at) / 1_000,
  },
  {
    name: 'reachflow_checkpoint_bytes',
    help: 'Size of the newest complete checkpoint.',
    value: ({ checkpoint }) => checkpoint?.bytes,
  },
  {
    name: 'reachflow_checkpoint_duration_seconds',
    help: 'How long the newest complete checkpoint took.',
    value: ({ checkpoint }) =>
      checkpoint === undefined ? undefined : checkpoint.durationMs / 1_000,
  },
];

/**
 * Gauges of what a process says of itself, read when they are scraped.
 * @param status undefined until the process has something to say.
 */
export function addStatusMetrics(
  registry: Registry,
  status: () => ProcessStatus | undefined,
): void {
  const tasks = () => status()?.tasks() ?? [];
  for (const { name, help, value } of TASK_GAUGES) {
    new Gauge({
      name,
      help,
      labelNames: TASK,
      registers: [registry],
      collect() {
        this.reset();
        const now = Date.now();
        for (const task of tasks()) {
          const found = value(task, now);
          if (found !== undefined && Number.isFinite(found)) this.set(labelsOf(task), found);
        }
      },
    });
  }
  addTaskStates(registry, tasks);
  addLag(registry, status);
  addAsyncSteps(registry, tasks);
  addWorkers(registry, status);
}

function addTaskStates(registry: Registry, tasks: () => readonly TaskStatus[]): void {
  new Gauge({
    name: 'reachflow_task_state',
    help: 'For each task 1 at the state that it is in, 0 at all others.',
    labelNames: [...TASK, 'state'],
    registers: [registry],
    collect() {
      this.reset();
      for (const task of tasks()) {
        for (const state of taskStates) {
          this.set({ ...labelsOf(task), state }, task.state === state ? 1 : 0);
        }
      }
    },
  });
  new Counter({
    name: 'reachflow_checkpoint_failures_total',
    help: 'Checkpoints that could not be taken.',
    labelNames: TASK,
    registers: [registry],
    collect() {
      this.reset();
      for (const task of tasks()) this.inc(labelsOf(task), task.checkpointFailures ?? 0);
    },
  });
}

function addLag(registry: Registry, status: () => ProcessStatus | undefined): void {
  new Gauge({
    name: 'reachflow_consumer_lag',
    help: 'Offsets between what a group has committed and the end of the partition, as last fetched.',
    labelNames: ['group', 'topic', 'partition'],
    registers: [registry],
    collect() {
      this.reset();
      const add = (group: string, inputs: readonly InputStatus[]) => {
        for (const { topic, partition, lag } of inputs) {
          if (lag !== undefined) this.set({ group, topic, partition: String(partition) }, lag);
        }
      };
      for (const { pipeline, subTopology, inputs } of status()?.tasks() ?? []) {
        add(`${pipeline}.${subTopology}`, inputs);
      }
      for (const { name, inputs = [] } of status()?.sinks() ?? []) add(`sink.${name}`, inputs);
    },
  });
}

function addWorkers(registry: Registry, status: () => ProcessStatus | undefined): void {
  new Counter({
    name: 'reachflow_worker_restarts_total',
    help: 'Times that a supervisor started a worker again.',
    labelNames: ['worker'],
    registers: [registry],
    collect() {
      this.reset();
      for (const { worker, restarts } of status()?.workers?.() ?? []) {
        this.inc({ worker: String(worker) }, restarts);
      }
    },
  });
}

function addAsyncSteps(registry: Registry, tasks: () => readonly TaskStatus[]): void {
  new Gauge({
    name: 'reachflow_async_in_flight',
    help: 'Calls of asynchronous steps under way.',
    labelNames: ['pipeline', 'subtopology', 'step'],
    registers: [registry],
    collect() {
      this.reset();
      for (const { pipeline, subTopology: subtopology, asyncSteps } of tasks()) {
        for (const { step, inFlight } of asyncSteps ?? []) {
          this.inc({ pipeline, subtopology, step }, inFlight);
        }
      }
    },
  });
  new Gauge({
    name: 'reachflow_breaker_state',
    help: 'Circuit breaker of an asynchronous step: 0 closed, 1 half-open, 2 open.',
    labelNames: ['pipeline', 'subtopology', 'step'],
    registers: [registry],
    collect() {
      this.reset();
      for (const { pipeline, subTopology: subtopology, asyncSteps } of tasks()) {
        for (const { step, breaker } of asyncSteps ?? []) {
          if (breaker !== undefined)
            this.set({ pipeline, subtopology, step }, BREAKER_VALUES[breaker]);
        }
      }
    },
  });
}
