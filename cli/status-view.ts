import type {
  GroupRows,
  ProcessRow,
  StatusData,
  TaskRow,
} from '../runtime/observability/status-data.ts';
import { styled, table } from './output.ts';

const BAR_CELLS = 8;
/** Eighths of a cell. */
const BLOCKS = ['', '▏', '▎', '▍', '▌', '▋', '▊', '▉', '█'];
const MAX_FAILURES = 10;
const NONE = '–';

/** A value as part of the largest: at least a sliver when there is any. */
export function bar(value: number, most: number, cells = BAR_CELLS): string {
  if (value <= 0 || most <= 0) return '';
  const eighths = Math.max(1, Math.round((Math.min(value, most) / most) * cells * 8));
  return '█'.repeat(Math.floor(eighths / 8)) + (BLOCKS[eighths % 8] ?? '');
}

/** `[0, 1, 2, 5]` → `0-2,5`. */
export function ranges(numbers: readonly number[]): string {
  const sorted = [...new Set(numbers)].sort((a, b) => a - b);
  const found: { first: number; last: number }[] = [];
  for (const n of sorted) {
    const open = found.at(-1);
    if (open !== undefined && open.last === n - 1) open.last = n;
    else found.push({ first: n, last: n });
  }
  return found
    .map(({ first, last }) => (first === last ? `${first}` : `${first}-${last}`))
    .join(',');
}

/** `1234567` → `1.2 M`. */
export function compact(n: number): string {
  if (n < 10_000) return String(n);
  const [unit, size] = n < 1e6 ? ['K', 1e3] : n < 1e9 ? ['M', 1e6] : ['G', 1e9];
  return `${(n / Number(size)).toFixed(n / Number(size) < 10 ? 1 : 0)} ${unit}`;
}

function bytes(n: number): string {
  if (n < 1_024) return `${n} B`;
  const [unit, size] =
    n < 2 ** 20 ? ['KiB', 2 ** 10] : n < 2 ** 30 ? ['MiB', 2 ** 20] : ['GiB', 2 ** 30];
  return `${(n / Number(size)).toFixed(n / Number(size) < 10 ? 1 : 0)} ${unit}`;
}

/** ms → `45 s`, `12 min`, `3 h`, `2 d`. */
export function age(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1_000));
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7_200) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172_800) return `${Math.round(seconds / 3_600)} h`;
  return `${Math.round(seconds / 86_400)} d`;
}

function ownerOf({ owner }: TaskRow): string {
  return owner === undefined ? NONE : `${owner.clientId} @ ${owner.host}`;
}

const BAD = new Set<TaskRow['state']>(['failed', 'unassigned', 'fenced', 'away']);
const MOVING = new Set<TaskRow['state']>(['restoring', 'backoff', 'draining', 'created']);

function styledState(state: TaskRow['state'], text: string = state): string {
  if (BAD.has(state)) return styled('red', text);
  if (MOVING.has(state)) return styled('yellow', text);
  return styled('green', text);
}

/** `running`, or `3 running, 1 restoring 40 %`. */
function stateOf(tasks: readonly TaskRow[]): string {
  const byState = Map.groupBy(tasks, ({ state }) => state);
  return [...byState]
    .map(([state, own]) => {
      const count = byState.size === 1 ? '' : `${own.length} `;
      return styledState(state, `${count}${state}${restored(own)}`);
    })
    .join(', ');
}

function restored(tasks: readonly TaskRow[]): string {
  let done = 0;
  let total = 0;
  for (const { state, task } of tasks) {
    if (state !== 'restoring' || task?.restore === undefined) continue;
    done += task.restore.done;
    total += task.restore.total;
  }
  return total === 0 ? '' : ` ${Math.floor((100 * done) / total)} %`;
}

/** The sum over tasks that have it; `–` when none has. */
function sum(
  tasks: readonly TaskRow[],
  of: (task: NonNullable<TaskRow['task']>) => number | undefined,
  format: (n: number) => string,
): string {
  const values = tasks.flatMap(({ task }) => (task === undefined ? [] : (of(task) ?? [])));
  return values.length === 0 ? NONE : format(values.reduce((a, b) => a + b, 0));
}

/** The oldest of the newest checkpoints. */
function checkpointAge(tasks: readonly TaskRow[], now: number): string {
  const taken = tasks.flatMap(({ task }) => task?.checkpoint?.at ?? []);
  return taken.length === 0 ? NONE : age(now - Math.min(...taken));
}

/** How far event time is behind: of the slowest task. */
function delay(tasks: readonly TaskRow[], now: number): string {
  const watermarks = tasks.flatMap(({ task }) => task?.watermark ?? []);
  return watermarks.length === 0 ? NONE : age(now - Math.min(...watermarks));
}

function position({ inputs }: TaskRow): string {
  return inputs.map(({ committed }) => committed ?? NONE).join(' ');
}

interface Shown {
  readonly group: string;
  readonly owner: string;
  readonly tasks: readonly TaskRow[];
}

/** One row an owner, or one a task. */
function rowsOf({ group, tasks }: GroupRows, each: boolean): Shown[] {
  if (each) return tasks.map((task) => ({ group, owner: ownerOf(task), tasks: [task] }));
  return [...Map.groupBy(tasks, ownerOf)].map(([owner, own]) => ({ group, owner, tasks: own }));
}

function partitionsOf(tasks: readonly TaskRow[], each: boolean): string {
  const [first] = tasks;
  if (!each || first === undefined) return ranges(tasks.map(({ partition }) => partition));
  const topics = first.inputs.map(({ topic }) => topic).join(' ');
  return `${first.partition}  ${styled('dim', topics)}`;
}

function groupTable({ groups, at }: StatusData, each: boolean): string {
  const shown = groups.flatMap((group) => rowsOf(group, each));
  const lagOf = (tasks: readonly TaskRow[]) => tasks.reduce((total, { lag }) => total + lag, 0);
  const most = Math.max(0, ...shown.map(({ tasks }) => lagOf(tasks)));
  const head = [
    'part',
    'partitions',
    'owner',
    'state',
    'lag',
    '',
    'behind',
    'entries',
    'size',
    'checkpoint',
    'restarts',
  ];
  let last = '';
  const rows = shown.map(({ group, owner, tasks }) => {
    const lag = lagOf(tasks);
    const name = group === last ? '' : group;
    last = group;
    return [
      name,
      partitionsOf(tasks, each),
      owner,
      stateOf(tasks),
      compact(lag),
      styled('yellow', bar(lag, most)),
      delay(tasks, at),
      sum(tasks, ({ stateEntries }) => stateEntries, compact),
      sum(tasks, ({ stateBytes }) => stateBytes, bytes),
      checkpointAge(tasks, at),
      sum(tasks, ({ restarts }) => restarts, restartsText),
      ...(each ? tasks.map(position) : []),
    ];
  });
  return table(each ? [...head, 'committed'] : head, rows);
}

function processTable(processes: readonly ProcessRow[], now: number): string {
  const rows = processes.map((row) => [
    row.url,
    `${row.pid}${roleOf(row)} on ${row.host}`,
    row.phase === 'running' ? styled('green', row.phase) : styled('yellow', row.phase),
    row.version,
    age(now - row.startedAt),
  ]);
  return table(['process', 'pid', 'phase', 'version', 'up'], rows);
}

function restartsText(count: number): string {
  return count === 0 ? '0' : styled('yellow', compact(count));
}

/** The workers of supervisors, also those that have no process now. */
function workerTable(processes: readonly ProcessRow[]): string {
  const rows = processes.flatMap(({ pid: supervisor, host, workers = [] }) =>
    workers.map(({ worker, pid, phase, restarts }) => [
      String(worker),
      pid === undefined ? NONE : String(pid),
      phase === 'ready' ? styled('green', phase) : styled('yellow', phase),
      restartsText(restarts),
      `${supervisor} on ${host}`,
    ]),
  );
  return rows.length === 0 ? '' : table(['worker', 'pid', 'phase', 'restarts', 'supervisor'], rows);
}

function roleOf({ worker, workers }: ProcessRow): string {
  if (workers !== undefined) return ' (supervisor)';
  return worker === undefined ? '' : ` (worker ${worker})`;
}

/** A sink whose store takes nothing: its partitions wait, and nothing is lost. */
function awayOf(groups: readonly GroupRows[], now: number): string[] {
  return groups.flatMap(({ group, tasks }) => {
    const since = Math.min(...tasks.map(({ awaySince }) => awaySince ?? Number.POSITIVE_INFINITY));
    if (!Number.isFinite(since)) return [];
    const what = `${group}: its store has taken nothing for ${age(now - since)}`;
    return [`${styled('red', what)}\n  hint: Its partitions wait, and go on by themselves.`];
  });
}

function failuresOf(groups: readonly GroupRows[]): string[] {
  const failed = groups.flatMap(({ group, tasks }) =>
    tasks.flatMap(({ partition, task }) => {
      if (task?.failure === undefined) return [];
      const { code, message, hint } = task.failure;
      const what = `${group}.${partition}: ${code}: ${message}`;
      return [`${styled('red', what)}${hint === undefined ? '' : `\n  hint: ${hint}`}`];
    }),
  );
  const more = failed.length - MAX_FAILURES;
  return more > 0 ? [...failed.slice(0, MAX_FAILURES), `and ${more} more`] : failed;
}

/** Whether any group has a member. */
export function isRunning({ groups }: StatusData): boolean {
  return groups.some(({ tasks }) => tasks.some(({ owner }) => owner !== undefined));
}

/** All of it for people. @param each one row a task instead of one an owner. */
export function statusView(data: StatusData, each = false): string {
  const { groups, processes, unreachable, at } = data;
  const hasTopics = groups.some(({ tasks }) => tasks.length > 0);
  const blocks: string[] = [];
  if (!isRunning(data)) {
    const before = hasTopics ? '' : ', and nothing has: there are no topics yet';
    blocks.push(`Nothing runs${before}. \`reachflow run\` starts it.`);
  }
  if (hasTopics) blocks.push(groupTable(data, each));
  if (processes.length > 0) blocks.push(processTable(processes, at));
  const workers = workerTable(processes);
  if (workers !== '') blocks.push(workers);
  if (unreachable.length > 0) {
    blocks.push(
      `No answer from ${unreachable.join(', ')}: state, size and checkpoints of its tasks are not shown. ` +
        'Is observability.host an address that this machine reaches?',
    );
  }
  const failures = [...awayOf(groups, at), ...failuresOf(groups)];
  if (failures.length > 0) blocks.push(failures.join('\n'));
  return blocks.join('\n\n');
}
