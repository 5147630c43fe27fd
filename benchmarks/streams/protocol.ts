import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';

/** What the processes of a benchmark of connections say to each other. */

export interface ServiceOrder {
  readonly kind: 'subscriptions' | 'socket';
  readonly brokers: readonly string[];
  readonly registryUrl: string;
  readonly namespace: string;
  /** Each has a token of its own: `tokenOf`. */
  readonly tenants: number;
}

export interface ServiceReady {
  readonly url: string;
}

export interface ClientsOrder {
  readonly kind: 'subscriptions' | 'socket';
  readonly url: string;
  readonly tenants: number;
  readonly connections: number;
  /** To send: messages a second in all, and how many. */
  readonly perSecond: number;
  readonly messages: number;
}

export interface ClientsReport {
  /** Events, or acknowledged messages. */
  readonly received: number;
  readonly latencies: readonly number[];
  /** Connections that ended before the end. */
  readonly lost: number;
  /** CPU time of the clients from when they were connected, in cores: near 1 they are what is measured. */
  readonly cores: number;
}

export type ClientsMessage =
  | { readonly type: 'connected' }
  | { readonly type: 'report'; readonly report: ClientsReport };

export function tenantOf(connection: number, tenants: number): string {
  return `tenant-${connection % tenants}`;
}

export function tokenOf(tenant: string): string {
  return `benchmark-token-of-${tenant}`.padEnd(32, '-');
}

/** A process of this benchmark, with IPC. */
export function start(script: string): ChildProcess {
  const path = new URL(script, import.meta.url).pathname;
  return fork(path, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
}

/** The next message of a process. @throws Error when it ends instead. */
export async function next<T>(child: ChildProcess): Promise<T> {
  const ended = once(child, 'exit').then(([code]: unknown[]) => {
    throw new Error(`a process of the benchmark ended: ${String(code)}`);
  });
  ended.catch(() => undefined);
  const [message] = (await Promise.race([once(child, 'message'), ended])) as [T];
  return message;
}

/** Ends a process. */
export async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'exit');
  child.kill('SIGKILL');
  await ended;
}
