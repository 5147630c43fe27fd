import type { Capture } from '../../connectors/debezium/capture.ts';
import { rootCause } from '../../connectors/debezium/capture-state.ts';
import type { ConnectorState } from '../../connectors/debezium/connect-client.ts';
import { followSnapshots, type SnapshotStep } from '../../connectors/debezium/notifications.ts';
import { errorMessage } from '../../runtime/errors.ts';
import { topicPartitions } from '../../runtime/kafka/admin.ts';
import { line, table } from '../output.ts';
import type { ConnectorsContext } from './context.ts';
import { configChanges } from './diff.ts';
import { stepText } from './snapshot.ts';

/** One connector, for scripts. */
interface ConnectorReport {
  readonly name: string;
  /** Connect's word, `ABSENT` where it has none of this name. */
  readonly state: string;
  readonly tasks: readonly {
    readonly id: number;
    readonly state: string;
    readonly worker: string | undefined;
    readonly error: string | undefined;
  }[];
  /** Against the configuration here; undefined where that has none of this name. */
  readonly config: 'as configured' | 'differs' | 'absent' | undefined;
  readonly slot?: Readonly<Record<string, unknown>> | undefined;
  readonly slotError?: string | undefined;
  readonly snapshot?: SnapshotStep | undefined;
}

function base(name: string, state: ConnectorState | undefined): Omit<ConnectorReport, 'config'> {
  return {
    name,
    state: state?.connector.state ?? 'ABSENT',
    tasks: (state?.tasks ?? []).map((task) => ({
      id: task.id,
      state: task.state,
      worker: task.worker_id,
      error: task.trace === undefined ? undefined : rootCause(task.trace),
    })),
  };
}

/** The newest step of any snapshot; undefined where there is none. */
async function lastStep(
  { kafka, registry }: ConnectorsContext,
  capture: Capture,
): Promise<SnapshotStep | undefined> {
  const topic = capture.names.notificationTopic;
  if (!(await topicPartitions(kafka)).has(topic)) return undefined;
  let last: SnapshotStep | undefined;
  const lost = Promise.withResolvers<never>();
  const follower = await followSnapshots(
    kafka,
    registry,
    topic,
    (step) => {
      last = step;
    },
    lost.reject,
  );
  await Promise.race([follower.caughtUp, lost.promise]).finally(() => follower.stop());
  return last;
}

async function reportOf(context: ConnectorsContext, capture: Capture): Promise<ConnectorReport> {
  const { connector } = capture.names;
  const found = await capture.found();
  const state = found === undefined ? undefined : await context.connect.status(connector);
  const position = await capture.source.position().then(
    (slot) => ({ slot: slot === undefined ? undefined : { ...slot } }),
    (error: unknown) => ({ slotError: errorMessage(error) }),
  );
  const differs = configChanges(found, capture.wanted).length > 0;
  return {
    ...base(connector, state),
    config: found === undefined ? 'absent' : differs ? 'differs' : 'as configured',
    ...position,
    snapshot: await lastStep(context, capture),
  };
}

function size(bytes: unknown): string {
  if (typeof bytes !== 'number') return '';
  if (bytes < 1_048_576) return `${Math.ceil(bytes / 1_024)} KiB`;
  return `${(bytes / 1_048_576).toFixed(1)} MiB`;
}

function row({ name, state, tasks, config, slot, snapshot }: ConnectorReport): string[] {
  const lost = slot?.['isLost'] === true ? ' LOST' : '';
  return [
    name,
    state,
    tasks.map((task) => task.state).join(', ') || '-',
    config ?? 'not ours',
    `${size(slot?.['lagBytes'])}${lost}`,
    size(slot?.['retainedBytes']),
    snapshot === undefined ? '' : stepText(snapshot),
  ];
}

/** Shows connectors: the configured ones, or those named, or all that the cluster has. */
export async function showStatus(
  context: ConnectorsContext,
  names: readonly string[],
  { all, json }: { readonly all: boolean; readonly json: boolean },
): Promise<void> {
  const ours = context.captures.filter(
    ({ names: { connector } }) => names.length === 0 || names.includes(connector),
  );
  const reports = await Promise.all(ours.map((capture) => reportOf(context, capture)));
  const known = new Set(context.captures.map((capture) => capture.names.connector));
  for (const state of all || names.length > 0 ? await context.connect.list() : []) {
    if (known.has(state.name) || !(all || names.includes(state.name))) continue;
    reports.push({ ...base(state.name, state), config: undefined });
  }
  for (const name of names) {
    if (reports.some((report) => report.name === name)) continue;
    reports.push({ ...base(name, undefined), config: undefined });
  }
  if (json) {
    const text = (_key: string, value: unknown) =>
      typeof value === 'bigint' ? String(value) : value;
    line(JSON.stringify(reports, text));
    return;
  }
  const head = ['connector', 'state', 'tasks', 'configuration', 'slot lag', 'WAL kept', 'snapshot'];
  line(table(head, reports.map(row)));
  for (const { name, tasks, slotError } of reports) {
    for (const { id, error } of tasks) {
      if (error !== undefined) line(`${name}: task ${id} failed: ${error}`);
    }
    if (slotError !== undefined) line(`${name}: ${slotError}`);
  }
}
