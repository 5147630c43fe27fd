import type { Capture } from '../../connectors/debezium/capture.ts';
import {
  followSnapshots,
  isFinal,
  type SnapshotStep,
} from '../../connectors/debezium/notifications.ts';
import { requestSnapshot } from '../../connectors/debezium/signals.ts';
import { ReachflowError } from '../../runtime/errors.ts';
import { note } from '../output.ts';
import type { ConnectorsContext } from './context.ts';

/** A step as people read it. */
export function stepText({ kind, type, table, chunk, chunks, rows, status }: SnapshotStep): string {
  const word = type.toLowerCase().replaceAll('_', ' ');
  const part = chunk === undefined ? '' : `, chunk ${chunk} of ${chunks ?? '?'}`;
  const count = rows === undefined ? '' : `, ${rows} rows`;
  const outcome = status === undefined || status === 'SUCCEEDED' ? '' : `, ${status}`;
  return `${kind}: ${table === undefined ? '' : `${table} `}${word}${part}${count}${outcome}`;
}

function notRead(steps: readonly SnapshotStep[], connector: string): ReachflowError | undefined {
  const aborted = steps.find(({ type }) => type === 'ABORTED' || type === 'SKIPPED');
  // A table without rows is read, too.
  const failed = steps.filter(
    ({ status }) => status !== undefined && status !== 'SUCCEEDED' && status !== 'EMPTY',
  );
  if (aborted === undefined && failed.length === 0) return undefined;
  const what = [...failed, ...(aborted === undefined ? [] : [aborted])].map(stepText).join('; ');
  return new ReachflowError(`the snapshot was not taken whole: ${what}`, {
    code: 'CDC_SNAPSHOT_INCOMPLETE',
    domain: 'external',
    hint: `\`reachflow connectors status ${connector}\`, and the log of the Connect worker, say more; a snapshot can be asked for again.`,
  });
}

/**
 * Asks for an incremental snapshot, and shows how it goes until it is over.
 * @param wait false only asks.
 * @throws ReachflowError `CONNECTOR_NOT_RUNNING`, `CDC_SNAPSHOT_INCOMPLETE`, and as `requestSnapshot`.
 */
export async function takeSnapshot(
  { kafka, registry, connect }: ConnectorsContext,
  capture: Capture,
  tables: readonly string[],
  { where, wait }: { readonly where: string | undefined; readonly wait: boolean },
): Promise<void> {
  const { connector, notificationTopic } = capture.names;
  const state = await connect.status(connector);
  if (state?.tasks.some((task) => task.state === 'RUNNING') !== true) {
    throw new ReachflowError(`${connector} does not run, so nobody would read the signal`, {
      code: 'CONNECTOR_NOT_RUNNING',
      domain: 'user',
      hint: `\`reachflow connectors apply ${connector}\` starts it.`,
    });
  }
  if (!wait) {
    note(`asked for: ${await requestSnapshot(capture.source, capture.config, tables, where)}`);
    return;
  }
  const steps: SnapshotStep[] = [];
  const over = Promise.withResolvers<void>();
  let id: string | undefined;
  const onStep = (step: SnapshotStep): void => {
    if (id === undefined || step.id !== id) return;
    steps.push(step);
    note(stepText(step));
    if (isFinal(step)) over.resolve();
  };
  const follower = await followSnapshots(kafka, registry, notificationTopic, onStep, over.reject);
  try {
    await follower.caughtUp;
    id = await requestSnapshot(capture.source, capture.config, tables, where);
    note(`asked for: ${id}; Ctrl-C ends this view, not the snapshot`);
    await over.promise;
  } finally {
    await follower.stop();
  }
  const error = notRead(steps, connector);
  if (error !== undefined) throw error;
}
