import { readFileSync } from 'node:fs';
import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { z } from 'zod';
import { errorCode, ReachflowError } from '../../runtime/errors.ts';
import type { ComponentName } from '../types.ts';
import type { StackLayout } from './layout.ts';
import { isAlive, type ProcessIdentity } from './process-identity.ts';
import { readRecord, readRecordNow } from './recorded-process.ts';

const embeddedState = z.object({
  format: z.literal(1),
  engine: z.literal('embedded'),
  /** Kafka's cluster id: 16 random bytes in URL-safe base64, given once to the data directory. */
  clusterId: z.string(),
  ports: z.record(z.string(), z.number().int()),
  /** Where the engines were provisioned, for starting one component again. */
  cacheDir: z.string(),
});
const dockerState = z.object({
  format: z.literal(1),
  engine: z.literal('docker'),
  endpoints: z.unknown(),
});
const stackState = z.discriminatedUnion('engine', [embeddedState, dockerState]);

/** What a stack directory remembers between starts. */
export type StackState = z.infer<typeof stackState>;
export type EmbeddedState = z.infer<typeof embeddedState>;

const readiness = z.object({
  pid: z.number().int(),
  startTicks: z.string(),
  /** From spawn to healthy and set up, ms. */
  startedInMs: z.number(),
});
export type Readiness = z.infer<typeof readiness>;

/**
 * The state of the stack in `dir`; undefined when it never started here.
 * @throws ReachflowError `STACK_STATE_INVALID` when the file is not what this version writes.
 */
export function readState(layout: StackLayout): StackState | undefined {
  const text = readIfPresent(layout.stateFile);
  if (text === undefined) return undefined;
  const parsed = stackState.safeParse(parseJson(text));
  if (parsed.success) return parsed.data;
  throw new ReachflowError(`${layout.stateFile} is not a stack state of this version`, {
    code: 'STACK_STATE_INVALID',
    domain: 'user',
    hint: '`reachflow stack reset --yes` removes the stack and its data; the next start is a first one.',
    cause: parsed.error,
  });
}

export async function writeState(layout: StackLayout, state: StackState): Promise<void> {
  await writeAtomically(layout.stateFile, `${JSON.stringify(state, null, 2)}\n`);
}

/** Replace a file in one step: a reader, or a crash, sees the old text or the new one. */
export async function writeAtomically(file: string, text: string): Promise<void> {
  await mkdir(dirname(file), { recursive: true });
  const temporary = `${file}.${process.pid}.tmp`;
  await writeFile(temporary, text);
  await rename(temporary, file);
}

/**
 * The process that was last launched as this component, alive or not. Waits a moment for a newborn whose
 * launcher was killed before it could write its record.
 */
export function readProcess(
  layout: StackLayout,
  component: ComponentName,
): Promise<ProcessIdentity | undefined> {
  return readRecord(layout.pidFile(component));
}

/** As `readProcess`, without waiting. */
export function readProcessNow(
  layout: StackLayout,
  component: ComponentName,
): ProcessIdentity | undefined {
  return readRecordNow(layout.pidFile(component));
}

/** The component's process, if it runs. */
export async function runningProcess(
  layout: StackLayout,
  component: ComponentName,
): Promise<ProcessIdentity | undefined> {
  const identity = await readProcess(layout, component);
  return identity !== undefined && isAlive(identity) ? identity : undefined;
}

/** Did this process become healthy and get its set-up (roles, compatibility rule)? Undefined when not. */
export function readReadiness(
  layout: StackLayout,
  component: ComponentName,
  identity: ProcessIdentity,
): Readiness | undefined {
  const text = readIfPresent(layout.readyFile(component));
  const parsed = readiness.safeParse(text === undefined ? undefined : parseJson(text));
  if (!parsed.success) return undefined;
  const { pid, startTicks } = parsed.data;
  return pid === identity.pid && startTicks === identity.startTicks ? parsed.data : undefined;
}

export async function writeReadiness(
  layout: StackLayout,
  component: ComponentName,
  ready: Readiness,
): Promise<void> {
  await writeAtomically(layout.readyFile(component), `${JSON.stringify(ready)}\n`);
}

/** Forget a process that is known to have ended. */
export async function forgetProcess(layout: StackLayout, component: ComponentName): Promise<void> {
  await rm(layout.readyFile(component), { force: true });
  await rm(layout.pidFile(component), { force: true });
}

function readIfPresent(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined;
    throw error;
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
