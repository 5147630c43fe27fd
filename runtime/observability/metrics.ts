import { collectDefaultMetrics, Gauge, Registry } from 'prom-client';
import { CaptureMetrics } from './capture-metrics.ts';
import { ClaimMetrics } from './claim-metrics.ts';
import { DeliveryMetrics } from './delivery-metrics.ts';
import type { ProcessStatus } from './process-status.ts';
import { SpoolMetrics } from './spool-metrics.ts';
import { addStatusMetrics } from './status-metrics.ts';
import { type TaskMetrics, TaskMetricsSet } from './task-metrics.ts';

/**
 * Everything that a process counts, for Prometheus. One per process, handed through the runtime. Numbers of tasks and
 * sinks are read when somebody scrapes; labels are names of parts, topics and partitions, never keys or tenants.
 */
export interface Metrics {
  /** Of its own: two in one process do not mix. */
  readonly registry: Registry;
  /** Whose tasks and connectors are shown. */
  watch(status: ProcessStatus): void;
  /** A task that is being opened. */
  task(pipeline: string, subTopology: string): TaskMetrics;
  readonly delivery: DeliveryMetrics;
  readonly capture: CaptureMetrics;
  readonly spools: SpoolMetrics;
  readonly claims: ClaimMetrics;
}

export interface MetricsOptions {
  /** Of the package. */
  readonly version: string;
  /** CPU, memory, event loop and garbage collection of the process, too. Default true. */
  readonly process?: boolean;
}

/** How exactly the event loop's delay is measured, ms; each one is a wake-up. */
const EVENT_LOOP_PRECISION_MS = 50;

export function createMetrics({ version, process: ofProcess = true }: MetricsOptions): Metrics {
  const registry = new Registry();
  if (ofProcess) {
    collectDefaultMetrics({
      register: registry,
      eventLoopMonitoringPrecision: EVENT_LOOP_PRECISION_MS,
    });
  }
  new Gauge({
    name: 'reachflow_build_info',
    help: 'Always 1, with the version of Reachflow and of Node.js.',
    labelNames: ['version', 'node'],
    registers: [registry],
  }).set({ version, node: process.version }, 1);
  let watched: ProcessStatus | undefined;
  const delivery = new DeliveryMetrics(registry);
  const tasks = new TaskMetricsSet(registry, delivery);
  addStatusMetrics(registry, () => watched);
  return {
    registry,
    watch(status) {
      watched = status;
    },
    task: (pipeline, subTopology) => tasks.task(pipeline, subTopology),
    delivery,
    capture: new CaptureMetrics(registry),
    spools: new SpoolMetrics(registry),
    claims: new ClaimMetrics(registry),
  };
}
