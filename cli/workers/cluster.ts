import cluster, { type Worker } from 'node:cluster';
import { fileURLToPath } from 'node:url';
import { allocatorEnvironment } from '../../runtime/process-memory.ts';
import { heapFlags } from './memory.ts';
import { parseMessage } from './messages.ts';
import type { StartWorker, WorkerEvents } from './supervisor.ts';

/** Names a process as worker n of a supervisor; set by the supervisor only. */
export const WORKER_ENV = 'REACHFLOW_WORKER';
/** Port on which that supervisor can be observed, if it can. */
const SUPERVISOR_PORT_ENV = 'REACHFLOW_SUPERVISOR_PORT';

const MAIN = fileURLToPath(new URL('../main.ts', import.meta.url));
/** How long messages of a process that has ended may still be on their way, ms. */
const LAST_WORDS_MS = 1_000;

/**
 * Workers as processes of Node's cluster: what they listen on is opened once, by the supervisor, and connections
 * are handed out in turn. So all workers share the webhook port, a worker that dies takes no port with it, and the
 * supervisor reads no byte of a request. Whatever else a worker listens on (its metrics, the socket that locks a state
 * directory) it has to open with `exclusive: true`: it would belong to the supervisor, and to all workers, otherwise.
 * @param args of the command line of each worker, from the command's name on.
 * @param port on which the supervisor can be observed.
 */
export function clusterWorkers(
  args: readonly string[],
  memoryMb: number,
  port: number | undefined,
): StartWorker {
  cluster.setupPrimary({
    exec: MAIN,
    args: [...args],
    execArgv: [...process.execArgv, ...heapFlags(memoryMb)],
  });
  return (worker, events) => {
    const child = cluster.fork({
      ...allocatorEnvironment(),
      [WORKER_ENV]: String(worker),
      ...(port === undefined ? {} : { [SUPERVISOR_PORT_ENV]: String(port) }),
    });
    child.on('message', (message: unknown) => {
      const parsed = parseMessage(message);
      if (parsed !== undefined) events.onMessage(parsed);
    });
    reportExit(child, events);
    return {
      pid: child.process.pid,
      signal: (signal) => void child.process.kill(signal),
    };
  };
}

/** Passes a signal on to every worker that runs. */
export function signalWorkers(signal: NodeJS.Signals): void {
  for (const worker of Object.values(cluster.workers ?? {})) worker?.process.kill(signal);
}

/** A process may be reported as ended before its last messages are read: the channel's end comes after them. */
function reportExit(child: Worker, events: WorkerEvents): void {
  let reported = false;
  const report = (code: number | null, signal: string | null): void => {
    if (reported) return;
    reported = true;
    events.onExit({ code, signal });
  };
  child.once('exit', (code: number | null, signal: string | null) => {
    if (!child.isConnected()) return report(code, signal);
    const late = setTimeout(() => report(code, signal), LAST_WORDS_MS);
    child.once('disconnect', () => {
      clearTimeout(late);
      report(code, signal);
    });
  });
  // Not started: there will be no exit. A failed message to a process that has ended comes here, too.
  child.on('error', () => {
    if (child.process.pid === undefined) report(null, null);
  });
}

/** Which worker of a supervisor this process is, 1…; undefined when there is no supervisor. */
export function workerNumber(): number | undefined {
  const text = process.env[WORKER_ENV];
  return cluster.isWorker && text !== undefined ? Number(text) : undefined;
}

/** Where this worker's supervisor can be observed; undefined without one, or when it cannot be. */
export function supervisorPort(): number | undefined {
  const text = process.env[SUPERVISOR_PORT_ENV];
  return workerNumber() === undefined || text === undefined ? undefined : Number(text);
}

/**
 * Lets this worker drain when its supervisor is gone. Node's cluster would end it at once, in the middle of an
 * epoch: correct, but its partitions would wait for the session timeout.
 */
export function outliveSupervisor(): void {
  if (cluster.worker !== undefined) cluster.worker.exitedAfterDisconnect = true;
}
