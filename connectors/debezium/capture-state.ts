import type { ConnectorStatus } from '../connector.ts';
import type { ConnectorState } from './connect-client.ts';

/** Of the registry, and of its connector's status. */
export const NAME = 'debezium';

/** The innermost cause of a Java stack trace, one line. */
export function rootCause(trace: string | undefined): string {
  const lines = (trace ?? '').split('\n');
  const causes = lines.filter((line) => line.startsWith('Caused by: '));
  return (causes.at(-1)?.slice('Caused by: '.length) ?? lines[0] ?? '').trim() || 'no reason given';
}

/** The connector and tasks that FAILED, each with its cause. */
export function failures(state: ConnectorState): string[] {
  const parts = [
    { what: 'connector', ...state.connector },
    ...state.tasks.map((task) => ({ what: `task ${task.id}`, ...task })),
  ];
  return parts
    .filter((part) => part.state === 'FAILED')
    .map((part) => `${part.what} failed: ${rootCause(part.trace)}`);
}

export function isRunning(state: ConnectorState): boolean {
  return (
    state.connector.state === 'RUNNING' &&
    state.tasks.length > 0 &&
    state.tasks.every((task) => task.state === 'RUNNING')
  );
}

/** Paused or stopped, by somebody. */
export function isHalted(state: ConnectorState): boolean {
  return [state.connector, ...state.tasks].some(
    (part) => part.state === 'PAUSED' || part.state === 'STOPPED',
  );
}

/** What Connect's states mean for us. Pure. */
export function toConnectorStatus(
  name: string,
  state: ConnectorState | undefined,
): ConnectorStatus {
  if (state === undefined) {
    return { name: NAME, state: 'failed', detail: `${name} does not exist in Kafka Connect` };
  }
  const failed = failures(state);
  if (failed.length > 0)
    return { name: NAME, state: 'failed', detail: `${name}: ${failed.join('; ')}` };
  if (isRunning(state)) {
    return { name: NAME, state: 'running', detail: `${name} is capturing in Kafka Connect` };
  }
  const states = [state.connector, ...state.tasks].map((part) => part.state);
  const detail = `${name} is ${states.join(', ')}`;
  return { name: NAME, state: isHalted(state) ? 'degraded' : 'starting', detail };
}
