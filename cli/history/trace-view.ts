import type { StoreVisit, Trace, Visit } from '../../history/trace/model.ts';
import { formatBytes } from '../checkpoint-view.ts';
import { line, styled } from '../output.ts';

/** Prints a trace as a tree: what was made from what, with times; then state and stores. */
export function printTrace(trace: Trace): void {
  const { visits, stores, states, searched } = trace;
  const ids = new Set(visits.map(({ id }) => id));
  const roots = visits.filter(({ from }) => from === undefined || !ids.has(from.visit));
  for (const root of roots) printVisit(root, trace, 0);
  if (states.length > 0) line('\nState:');
  for (const { pipeline, subTopology, partition, offset, store, change, bytes, epoch } of states)
    line(
      `  ${pipeline}/${subTopology}[${partition}] ${store}: ${change}, ${bytes} B, epoch ${epoch}, changelog offset ${offset}`,
    );
  if (stores.length > 0) line('\nStores:');
  for (const store of stores) line(`  ${storeText(store)}`);
  const more = searched.isTruncated ? '; there is more than is shown' : '';
  line(
    styled(
      'dim',
      `\n${visits.length} records found in ${searched.records} of ${searched.partitions} partitions, ${formatBytes(searched.bytes)}${more}.`,
    ),
  );
}

function printVisit(visit: Visit, trace: Trace, depth: number): void {
  const { id, timestamp, from, failure, traceId } = visit;
  const indent = '  '.repeat(depth);
  const way =
    from === undefined
      ? ''
      : styled(
          'dim',
          ` ← ${[from.pipeline, ...from.steps].filter((text) => text !== undefined).join(' → ')} (by ${from.by})`,
        );
  line(`${indent}${new Date(timestamp).toISOString()}  ${styled('bold', id)}${way}`);
  const { summary } = visit;
  const fields =
    summary === null
      ? 'tombstone'
      : summary === undefined
        ? 'cannot be decoded'
        : Object.entries(summary)
            .map(([name, value]) => `${name}=${String(value)}`)
            .join(' ');
  line(`${indent}  ${styled('dim', fields)}`);
  if (traceId !== undefined) line(`${indent}  trace ${traceId}`);
  if (failure !== undefined) {
    const { consumer, step, code, message, attempts, replays, resolution } = failure;
    const state = resolution === undefined ? '' : `, ${resolution}`;
    line(
      `${indent}  ${styled('red', code)} in ${consumer}/${step} after ${attempts} attempts, ${replays} replays${state}: ${message}`,
    );
  }
  if (depth > 50) return;
  for (const child of trace.visits)
    if (child.from?.visit === id && child.id !== id) printVisit(child, trace, depth + 1);
}

function storeText({
  store,
  table,
  key,
  found,
  version,
  deleted,
  position,
  problem,
}: StoreVisit): string {
  const name = `${store} ${table} ${Object.entries(key)
    .map(([field, value]) => `${field}=${String(value)}`)
    .join(' ')}`;
  if (problem !== undefined) return `${name}: ${styled('yellow', problem)}`;
  if (!found) return `${name}: not there`;
  const facts = [
    version === undefined ? undefined : `version ${version}`,
    position === undefined ? undefined : `from ${position}`,
    deleted ? 'deleted' : undefined,
  ];
  return `${name}: ${facts.filter((fact) => fact !== undefined).join(', ') || 'there'}`;
}
