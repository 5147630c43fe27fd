import { z } from 'zod';

/** As in runtime/task/lifecycle.ts. */
export const taskStates = [
  'created',
  'restoring',
  'running',
  'backoff',
  'draining',
  'failed',
  'closed',
  'fenced',
] as const;

/** As in cli/workers/supervision.ts. */
export const workerPhases = ['starting', 'ready', 'draining', 'waiting', 'gone'] as const;

const failureSchema = z.object({
  code: z.string(),
  message: z.string(),
  hint: z.string().optional(),
});

/** How far an input partition is read. Offsets as numbers: exact up to 2^53. */
const inputSchema = z.object({
  /** Logical name. */
  topic: z.string(),
  partition: z.int(),
  /** Next offset to read of what is committed; absent before the first commit. */
  position: z.number().optional(),
  /** Next offset on the broker, as last seen. */
  end: z.number().optional(),
  /** Offsets between the two. */
  lag: z.number().optional(),
});

const checkpointSchema = z.object({
  /** When it was taken, ms since the epoch. */
  at: z.number(),
  bytes: z.number(),
  durationMs: z.number(),
});

const taskSchema = z.object({
  pipeline: z.string(),
  subTopology: z.string(),
  partition: z.int(),
  state: z.enum(taskStates),
  inputs: z.array(inputSchema),
  /** Event time reached, ms since the epoch; absent before the first record. */
  watermark: z.number().optional(),
  stateEntries: z.number().optional(),
  stateBytes: z.number().optional(),
  /** The same, store by store. */
  stores: z
    .array(z.object({ name: z.string(), entries: z.number(), bytes: z.number() }))
    .optional(),
  /** Records that each step got since the task was opened. */
  steps: z.array(z.object({ step: z.string(), in: z.number() })).optional(),
  /** Offsets of the changelog that a restore has read, and is to read. */
  restore: z.object({ done: z.number(), total: z.number() }).optional(),
  /** The newest that is complete. */
  checkpoint: checkpointSchema.optional(),
  /** Checkpoints that could not be taken, since the process started. */
  checkpointFailures: z.number().optional(),
  /** Times it was opened anew since the partition was assigned. */
  restarts: z.number(),
  /** Steps that call the outside world. */
  asyncSteps: z
    .array(
      z.object({
        step: z.string(),
        inFlight: z.number(),
        breaker: z.enum(['closed', 'half-open', 'open']).optional(),
      }),
    )
    .optional(),
  /** Why it stands still. */
  failure: failureSchema.optional(),
});

const sinkSchema = z.object({
  name: z.string(),
  delivered: z.number(),
  deadLettered: z.number(),
  retries: z.number(),
  /** Records that were sent to the retry topic since the process started. */
  recordRetries: z.number().optional(),
  /** Of its store. */
  breaker: z.enum(['closed', 'half-open', 'open']).optional(),
  /** Keys whose later records wait for one that is to be tried again. */
  parkedKeys: z.number().optional(),
  /** Records that wait so. */
  parkedRecords: z.number().optional(),
  /** Since when its store takes nothing, ms since the epoch; absent when it is well. */
  awaySince: z.number().optional(),
  /** Of the partitions that this process holds. */
  inputs: z.array(inputSchema).optional(),
});

const connectorSchema = z.object({
  name: z.string(),
  state: z.enum(['starting', 'running', 'degraded', 'failed', 'stopped']),
  detail: z.string(),
});

const workerSchema = z.object({
  /** 1…; it outlives the processes that take its place one after the other. */
  worker: z.int(),
  /** Absent while it has no process. */
  pid: z.int().optional(),
  phase: z.enum(workerPhases),
  /** Since the supervisor started. */
  restarts: z.int(),
});

const processSchema = z.object({
  /** Random, of this start of the process: an address alone may be somebody else's by now. */
  instance: z.string(),
  pid: z.int(),
  host: z.string(),
  /** `kafka.namespace`: two installations may share a host. */
  namespace: z.string(),
  /** Of a supervisor, 1…; absent without one. */
  worker: z.int().optional(),
  /** Port on this host at which that supervisor answers. */
  supervisorPort: z.int().optional(),
  version: z.string(),
  /** ms since the epoch. */
  startedAt: z.number(),
});

/** What `GET /status` answers, and `reachflow status` reads. */
export const processReportSchema = z.object({
  process: processSchema,
  phase: z.enum(['starting', 'running', 'stopping', 'failed']),
  tasks: z.array(taskSchema),
  sinks: z.array(sinkSchema),
  connectors: z.array(connectorSchema),
  /** Of a supervisor, which has nothing else; absent for all other processes. */
  workers: z.array(workerSchema).optional(),
});

export type TaskStatus = z.infer<typeof taskSchema>;
export type InputStatus = z.infer<typeof inputSchema>;
export type SinkStatus = z.infer<typeof sinkSchema>;
export type ConnectorState = z.infer<typeof connectorSchema>;
export type WorkerStatus = z.infer<typeof workerSchema>;
export type ProcessIdentity = z.infer<typeof processSchema>;
export type ProcessReport = z.infer<typeof processReportSchema>;

/** What a process knows of itself. Implemented by whoever starts the parts; asked at each scrape, so it must be quick. */
export interface ProcessStatus {
  readonly identity: ProcessIdentity;
  /** `failed`: a part gave up for good, the process is about to end. */
  readonly phase: ProcessReport['phase'];
  tasks(): readonly TaskStatus[];
  sinks(): readonly SinkStatus[];
  connectors(): Promise<readonly ConnectorState[]>;
  /** Undefined where it is no supervisor. */
  workers?(): readonly WorkerStatus[] | undefined;
}

/** All of it, as data. */
export async function reportOf(status: ProcessStatus): Promise<ProcessReport> {
  const workers = status.workers?.();
  return {
    process: status.identity,
    phase: status.phase,
    tasks: [...status.tasks()],
    sinks: [...status.sinks()],
    connectors: [...(await status.connectors())],
    ...(workers === undefined ? {} : { workers: [...workers] }),
  };
}

/**
 * The client id of a process that answers on `url`: its port behind the configured name. The brokers tell it of each
 * member of a group, with the address it connects from; so `reachflow status` finds the processes without a list.
 */
export function announce(clientId: string, url: string): string {
  return `${clientId}@${new URL(url).port}`;
}

/** Where a member of a group answers, if it announced that. @param host as the broker says it. */
export function announcedUrl(clientId: string, host: string): string | undefined {
  const port = /@(\d{1,5})$/.exec(clientId)?.[1];
  if (port === undefined || host === '') return undefined;
  return `http://${host.includes(':') ? `[${host}]` : host}:${port}`;
}
