/**
 * The life of a task on one worker, as a pure state machine: what happens is an event, and the table below has the next
 * state for every pair, so a gap does not compile. The runner does what the states say.
 *
 * - `created`: assigned, not opened;
 * - `restoring`: fencing earlier owners, then reading positions and state;
 * - `running`: processing epochs;
 * - `backoff`: an attempt failed, the next one waits;
 * - `draining`: revoked or stopping; the epoch under way is finished, nothing new is begun;
 * - `failed`: gave up; its partition stands still until the group assigns it anew;
 * - `closed`: let go of in good order;
 * - `fenced`: another owner took over; nothing of this task may be written any more.
 */
export type TaskLife =
  | 'created'
  | 'restoring'
  | 'running'
  | 'backoff'
  | 'draining'
  | 'failed'
  | 'closed'
  | 'fenced';

/**
 * - `open`: the runner begins to open it;
 * - `restored`: positions and state are what was committed;
 * - `error`: something failed that may pass;
 * - `giveUp`: it failed too often, or will fail again;
 * - `fence`: the broker says that another owner took over;
 * - `revoke`: the partition went away, or the worker stops;
 * - `drained`: nothing is under way any more.
 */
export type TaskEvent = 'open' | 'restored' | 'error' | 'giveUp' | 'fence' | 'revoke' | 'drained';

/** `illegal`: the runner has a bug. */
type Next = TaskLife | 'illegal';

/** Row: state; column: event. */
export const transitions: Readonly<Record<TaskLife, Readonly<Record<TaskEvent, Next>>>> = {
  created: {
    open: 'restoring',
    restored: 'illegal',
    error: 'backoff',
    giveUp: 'failed',
    fence: 'illegal',
    revoke: 'closed',
    drained: 'illegal',
  },
  restoring: {
    open: 'illegal',
    restored: 'running',
    error: 'backoff',
    giveUp: 'failed',
    fence: 'fenced',
    revoke: 'draining',
    drained: 'illegal',
  },
  running: {
    open: 'illegal',
    restored: 'illegal',
    error: 'backoff',
    giveUp: 'failed',
    fence: 'fenced',
    revoke: 'draining',
    drained: 'illegal',
  },
  backoff: {
    open: 'restoring',
    restored: 'illegal',
    error: 'backoff',
    giveUp: 'failed',
    fence: 'illegal',
    revoke: 'closed',
    drained: 'illegal',
  },
  // Whatever fails while it drains, it is let go of: the next owner goes on from what is committed.
  draining: {
    open: 'illegal',
    restored: 'draining',
    error: 'draining',
    giveUp: 'draining',
    fence: 'fenced',
    revoke: 'draining',
    drained: 'closed',
  },
  failed: {
    open: 'restoring',
    restored: 'illegal',
    error: 'failed',
    giveUp: 'failed',
    fence: 'illegal',
    revoke: 'closed',
    drained: 'illegal',
  },
  closed: {
    open: 'illegal',
    restored: 'closed',
    error: 'closed',
    giveUp: 'closed',
    fence: 'closed',
    revoke: 'closed',
    drained: 'closed',
  },
  // If the partition is still ours the fencer was a zombie's heir: after a look at the group it is opened again.
  fenced: {
    open: 'restoring',
    restored: 'fenced',
    error: 'fenced',
    giveUp: 'failed',
    fence: 'fenced',
    revoke: 'closed',
    drained: 'illegal',
  },
};

/** The state after an event. @throws Error for a pair that cannot be: a bug of the runner. */
export function nextLife(life: TaskLife, event: TaskEvent): TaskLife {
  const next = transitions[life][event];
  if (next === 'illegal') throw new Error(`a task that is ${life} cannot get ${event}`);
  return next;
}
