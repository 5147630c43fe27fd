import { join, resolve } from 'node:path';
import { checkOut, removeWorktree } from '../../replay/checkout.ts';
import { cleanReplay } from '../../replay/clean.ts';
import { OWN_ROOT } from '../../replay/code.ts';
import { differencesIn } from '../../replay/diff.ts';
import type { Replay, ReplayState } from '../../replay/journal.ts';
import { progressOf } from '../../replay/progress.ts';
import { refuseState, requireReplay, swap } from '../../replay/promote.ts';
import type { Edge } from '../../replay/range.ts';
import { pipelineNamed, sceneOf } from '../../replay/scene.ts';
import { auditOf, startReplay } from '../../replay/start.ts';
import { ReachflowError } from '../../runtime/errors.ts';
import { line, note, table } from '../output.ts';
import { compare, showDiffs } from './compare.ts';
import { openReplays, type ReplayContext, reading, writing } from './context.ts';
import { startWorkers } from './processes.ts';

export interface StartArguments {
  readonly pipeline: string;
  readonly into?: string;
  readonly from: Edge;
  readonly to?: Edge;
  readonly code: string;
  readonly rate: number;
  readonly maxLiveLag: number;
  readonly workers: number;
  readonly foreground?: boolean;
  readonly config?: string;
}

/** `replay start`. */
export async function start(options: StartArguments): Promise<void> {
  const context = await openReplays(options.config);
  const { pipeline, config: file } = options;
  const name = options.into ?? `${pipeline}_${Date.now().toString(36)}`;
  pipelineNamed(context.home.catalog, pipeline);
  const home = resolve(context.config.state.dir, '..', 'replays', name);
  const replay = await writing(context, async (writer) => {
    // Before a worktree is made, which takes its time.
    const there = writer.state.replays.get(name);
    if (there !== undefined && there.state !== 'cleaned') throw exists(there);
    const code = await checkOut(OWN_ROOT, pipeline, options.code, home);
    try {
      const { from, rate, maxLiveLag, workers, to } = options;
      return await startReplay(context.home, writer, {
        ...{ name, pipeline, from, to, code, home, rate, maxLiveLag, workers },
      });
    } catch (error) {
      if (code.commit !== '') await removeWorktree(OWN_ROOT, code.dir);
      throw error;
    }
  });
  if (options.workers > 0) startWorkers(replay, file);
  line(`replay ${name} of ${pipeline} is running, log in ${join(home, 'workers.log')}`);
  note(`  reachflow replay status ${name}`);
}

function exists({ name, pipeline, state }: Replay): ReachflowError {
  return new ReachflowError(`there is a replay ${name} already, of ${pipeline}, ${state}`, {
    code: 'REPLAY_EXISTS',
    domain: 'user',
    hint: `Choose another name (--into), or remove what is left of it: reachflow replay clean ${name}`,
  });
}

/** `replay list`. */
export async function list(options: { readonly json?: boolean; readonly config?: string }) {
  const context = await openReplays(options.config);
  const replays = [...(await reading(context)).replays.values()];
  if (options.json === true) return line(JSON.stringify(replays));
  if (replays.length === 0) return line('there are no replays');
  const rows = replays.map(({ name, pipeline, state, code, createdAt }) => [
    ...[name, pipeline, state, code.ref, new Date(createdAt).toISOString()],
  ]);
  line(table(['replay', 'pipeline', 'state', 'code', 'since'], rows));
}

/** Between two looks at how far it is, ms. */
const SPEED_MS = 1_000;

/** `replay status`. */
export async function status(
  name: string,
  options: { readonly json?: boolean; readonly config?: string },
): Promise<void> {
  const context = await openReplays(options.config);
  const state = await reading(context);
  const replay = requireReplay({ state }, name);
  const scene = sceneOf(context.home, state, replay);
  const first = await progressOf(scene, replay);
  await new Promise((done) => setTimeout(done, SPEED_MS));
  const now = await progressOf(scene, replay);
  const rate = Math.round(((now.done - first.done) * 1_000) / SPEED_MS);
  const left = now.total - now.done;
  const etaSeconds = left === 0 ? 0 : rate > 0 ? Math.ceil(left / rate) : undefined;
  if (options.json === true) {
    line(JSON.stringify({ ...replay, progress: { ...now, rate, etaSeconds: etaSeconds ?? null } }));
    return;
  }
  const share = now.total === 0 ? 100 : Math.floor((now.done * 100) / now.total);
  line(`${name}  ${replay.pipeline}  ${replay.state}  code ${replay.code.ref}`);
  line(`  ${now.done} of ${now.total} records (${share} %), ${rate}/s${etaText(etaSeconds)}`);
  line(`  ${now.behind} behind the end of its inputs, ${now.unwritten} not yet in the stores`);
}

function etaText(seconds: number | undefined): string {
  if (seconds === undefined) return ', standing still';
  return seconds === 0 ? '' : `, done in about ${seconds} s`;
}

const ALLOWED: Readonly<Record<'paused' | 'running' | 'stopped', readonly ReplayState[]>> = {
  paused: ['running'],
  running: ['paused', 'stopped', 'running'],
  stopped: ['running', 'paused', 'stopped'],
};

/** `replay pause`, `resume` and `stop`. */
export async function setState(
  name: string,
  state: keyof typeof ALLOWED,
  config: string | undefined,
): Promise<void> {
  const context = await openReplays(config);
  const replay = await writing(context, async (writer) => {
    const found = requireReplay(writer, name);
    // The workers of one that was promoted may have to be started again.
    if (state === 'running' && found.state === 'promoted') return found;
    if (!ALLOWED[state].includes(found.state)) {
      throw refuseState(found, state, 'reachflow replay list shows what there is.');
    }
    const next: Replay = { ...found, state };
    await writer.write(
      { kind: 'replay', value: next },
      { kind: 'audit', value: auditOf(next, state) },
    );
    return next;
  });
  if (state === 'running') startWorkers(replay, config);
  line(`replay ${name} is ${replay.state}`);
}

/** `replay diff`: exit code 0 whatever differs. */
export async function diff(
  name: string,
  options: {
    readonly store?: string;
    readonly limit: number;
    readonly json?: boolean;
    readonly config?: string;
  },
): Promise<void> {
  const diffs = await compare(await openReplays(options.config), name, options);
  if (options.json === true) line(JSON.stringify(diffs));
  else showDiffs(diffs);
}

export interface SwapArguments {
  readonly acceptDiff?: number;
  readonly maxLag: number;
  readonly releaseTimeout: number;
  readonly config?: string;
}

/** `replay promote`. */
export async function promote(name: string, options: SwapArguments): Promise<void> {
  const context = await openReplays(options.config);
  const replay = requireReplay({ state: await reading(context) }, name);
  const differences =
    replay.state === 'promoting' ? undefined : await requireFit(context, replay, options);
  await writing(context, (writer) =>
    swap(context.home, writer, name, 'shadow', {
      releaseMs: options.releaseTimeout * 1_000,
      ...(differences === undefined ? {} : { differences }),
      onStep: (step) => note(`  ${step}`),
    }),
  );
  line(`replay ${name} is live`);
  note(`  back: reachflow replay rollback ${name}; for good: reachflow replay clean ${name}`);
}

/** @throws ReachflowError `REPLAY_LAG`, `REPLAY_DIFFERS`. @returns rows that differ. */
async function requireFit(
  context: ReplayContext,
  replay: Replay,
  { acceptDiff, maxLag }: SwapArguments,
): Promise<number> {
  const { name } = replay;
  if (replay.to !== undefined) {
    throw refuseState(
      replay,
      'promoted',
      'Its range ends: what came after it would be missing. Start one without --to.',
    );
  }
  const { behind, unwritten } = await progressOf(
    sceneOf(context.home, await reading(context), replay),
    replay,
  );
  if (behind + unwritten > maxLag) {
    throw new ReachflowError(
      `the replay is ${behind + unwritten} records behind, more than ${maxLag}`,
      {
        code: 'REPLAY_LAG',
        domain: 'user',
        retry: 'backoff',
        hint: `Wait until it has caught up: reachflow replay status ${name}; or allow more with --max-lag.`,
      },
    );
  }
  const differences = differencesIn(await compare(context, name, { limit: 0 }));
  if (differences === (acceptDiff ?? 0)) return differences;
  throw new ReachflowError(`${differences} rows differ from what is live`, {
    code: 'REPLAY_DIFFERS',
    domain: 'user',
    hint: `Look at them: reachflow replay diff ${name}. If that is right: --accept-diff ${differences}`,
  });
}

/** `replay rollback`. */
export async function rollback(name: string, options: SwapArguments): Promise<void> {
  const context = await openReplays(options.config);
  await writing(context, (writer) =>
    swap(context.home, writer, name, 'live', {
      releaseMs: options.releaseTimeout * 1_000,
      onStep: (step) => note(`  ${step}`),
    }),
  );
  line(`what was live before ${name} is live again, and catches up`);
}

/** `replay clean`. */
export async function clean(name: string, options: { readonly config?: string }): Promise<void> {
  const context = await openReplays(options.config);
  const replay = await writing(context, (writer) => cleanReplay(context.home, writer, name));
  if (replay.code.commit !== '') await removeWorktree(OWN_ROOT, replay.code.dir);
  line(`nothing is left of ${name} but what is live`);
}
