import { randomUUID } from 'node:crypto';
import { hostname, userInfo } from 'node:os';
import { pipelines } from '../../pipelines/catalog.ts';
import { dlqStretches, readLetters } from '../../runtime/delivery/dlq-reader.ts';
import type { DeadLetter } from '../../runtime/delivery/letter.ts';
import { type RunOptions, runRedrive } from '../../runtime/delivery/redrive.ts';
import {
  isOpen,
  planRedrive,
  type RedrivePlan,
  type SelectLetters,
} from '../../runtime/delivery/redrive-plan.ts';
import { Resolutions } from '../../runtime/delivery/resolutions.ts';
import { ReachflowError } from '../../runtime/errors.ts';
import { createLogger } from '../../runtime/observability/logger.ts';
import { repeatedBefore } from '../../runtime/topology/paths.ts';
import { createSinks } from '../../sinks/registry.ts';
import { confirm } from '../confirm.ts';
import { line, note, table } from '../output.ts';
import { CONFIRM_HINT, isUnfiltered, showKinds } from './confirm.ts';
import { type DlqContext, queuesOf, requireConsumer } from './context.ts';
import { dryRun, type Prospect } from './dry-run.ts';
import { type LoadedPatch, loadPatch, patchLetters } from './patch.ts';
import { Progress } from './progress.ts';
import { type Selection, selector } from './selection.ts';
import { position, short, toJson } from './view.ts';

export interface RedriveCommand {
  readonly selection: Selection;
  /** A TypeScript file. */
  readonly patch?: string;
  readonly maxReplays: number;
  readonly force: boolean;
  /** Asks for nothing. */
  readonly yes: boolean;
}

/** Letters that a dry run tries, at most. */
const MAX_TRIED = 1_000;

/** A selection that also looks at what is sent where. */
function guarded(select: SelectLetters, force: boolean): SelectLetters {
  const checked = new Set<string>();
  return async (letters) => {
    const chosen = await select(letters);
    for (const letter of chosen) {
      const kind = letter.text('fingerprint');
      if (checked.has(kind)) continue;
      const consumer = letter.text('consumer');
      requireConsumer(consumer);
      if (!force) requireOnce(consumer, letter.text('step'));
      checked.add(kind);
    }
    return chosen;
  };
}

function requireOnce(consumer: string, failed: string): void {
  const topology = pipelines.find(({ name }) => name === consumer);
  const steps = topology === undefined ? [] : repeatedBefore(topology, failed);
  if (steps.length === 0) return;
  throw new ReachflowError(
    `records that ${consumer}.${failed} gave up on would pass ${steps.join(', ')} a second time`,
    {
      code: 'REDRIVE_REPEATS_STATE',
      domain: 'user',
      hint: 'What those steps count or join would have it twice. Replay the topic instead, or use --force.',
    },
  );
}

/** `reachflow dlq redrive`. */
export async function redrive(context: DlqContext, command: RedriveCommand): Promise<void> {
  const { client, codec } = context;
  const { selection, maxReplays, force } = command;
  const patch = command.patch === undefined ? undefined : await loadPatch(command.patch);
  const select = guarded(selector(codec, selection), force);
  const limit = force ? Number.POSITIVE_INFINITY : maxReplays;
  const plan = await planOf(context, selection, select, limit, true);
  tellLeftOut(plan, maxReplays);
  if (plan.letters === 0) return line('No letters to redrive.');
  if (isUnfiltered(selection)) {
    showKinds(plan.kinds);
    if (!command.yes) await confirm(`Redrive all ${plan.letters} letters?`, CONFIRM_HINT);
  }
  await run(context, {
    plan,
    select,
    maxReplays: limit,
    audit: {
      ...auditOf(selection, force),
      resolution: 'redriven',
      ...(patch === undefined ? {} : { patchSha256: patch.sha256 }),
    },
    ...(patch === undefined ? {} : { patch: patchLetters(patch, client, codec) }),
  });
}

/** `reachflow dlq drop`. */
export async function drop(
  context: DlqContext,
  selection: Selection,
  confirmed: boolean,
): Promise<void> {
  const select = selector(context.codec, selection);
  const plan = await planOf(context, selection, select, 0, false);
  if (plan.letters === 0) return line('No letters to drop.');
  showKinds(plan.kinds);
  if (!confirmed) await confirm(`Drop ${plan.letters} letters?`, CONFIRM_HINT);
  const audit = { ...auditOf(selection, false), resolution: 'dropped' } as const;
  await run(context, { plan, select, maxReplays: 0, audit });
}

async function planOf(
  { client }: DlqContext,
  selection: Selection,
  select: SelectLetters,
  maxReplays: number,
  sends: boolean,
): Promise<RedrivePlan> {
  const dlqs = await queuesOf(client, selection.topic);
  const resolutions = await Resolutions.read(client);
  return planRedrive(client, resolutions, { dlqs, select, maxReplays, sends });
}

function auditOf(selection: Selection, force: boolean) {
  const actor = `${userInfo().username}@${hostname()}`;
  return { run: randomUUID(), actor, selection: { ...selection }, force };
}

function tellLeftOut({ guarded: often, withoutRecord }: RedrivePlan, maxReplays: number): void {
  if (often > 0) {
    note(
      `${often} letters came back ${maxReplays} times already and are left out; --force sends them.`,
    );
  }
  if (withoutRecord > 0) {
    note(`${withoutRecord} letters have no record behind them (timers, tables) and are left out.`);
  }
}

async function run({ client }: DlqContext, options: RunOptions): Promise<void> {
  const progress = new Progress(options.plan.letters);
  const { audit } = options;
  const { letters, left } = await runRedrive(client, {
    ...options,
    onProgress: (done) => progress.show(done),
  });
  progress.end();
  const kept = left === 0 ? '' : `, ${left} left in place by the patch`;
  line(`${letters} letters ${audit.resolution}${kept}. Run ${audit.run}.`);
}

/** `reachflow dlq redrive --dry-run`: what would become of each letter. Nothing is sent. */
export async function preview(
  context: DlqContext,
  command: RedriveCommand,
  json: boolean,
): Promise<void> {
  const { config, client, codec } = context;
  const { selection, maxReplays, force } = command;
  const patch: LoadedPatch | undefined =
    command.patch === undefined ? undefined : await loadPatch(command.patch);
  const select = guarded(selector(codec, selection), force);
  const limit = force ? Number.POSITIVE_INFINITY : maxReplays;
  const letters: DeadLetter[] = [];
  let more = 0;
  const resolutions = await Resolutions.read(client);
  for (const stretch of await dlqStretches(client, await queuesOf(client, selection.topic))) {
    await readLetters(client, stretch, resolutions, async (read) => {
      const chosen = await select(read.filter(isOpen));
      const sendable = chosen.filter(
        ({ replayCount, originOffset }) => replayCount < limit && originOffset >= 0,
      );
      const room = MAX_TRIED - letters.length;
      // What is kept must not keep all that was fetched with it.
      letters.push(...sendable.slice(0, room).map((letter) => letter.copy()));
      more += Math.max(0, sendable.length - room);
    });
  }
  const silent = createLogger({ ...config.log, level: 'error' });
  const stores = createSinks(config, { logger: silent, parts: config.pipelines.optional });
  const trial = { codec, pipelines, sinks: stores, ...(patch === undefined ? {} : { patch }) };
  const prospects = await dryRun(trial, letters);
  for (const sink of stores) await sink.close().catch(() => undefined);
  if (json)
    for (const { letter, ...rest } of prospects)
      line(toJson({ record: position(letter), ...rest }));
  else showProspects(prospects, more);
}

function showProspects(prospects: readonly Prospect[], more: number): void {
  line(
    table(
      ['record', 'key', 'by', 'verdict', 'what would become of it'],
      prospects.map(({ letter, key, verdict, detail }) => [
        position(letter),
        short(key, 20),
        `${letter.info.consumer}/${letter.info.step}`,
        verdict,
        short(detail, 80),
      ]),
    ),
  );
  const counts = [...Map.groupBy(prospects, ({ verdict }) => verdict)]
    .map(([verdict, own]) => `${own.length} ${verdict}`)
    .join(', ');
  const rest = more === 0 ? '' : ` ${more} more were not tried.`;
  line(`${counts === '' ? 'No letters' : counts}; nothing was sent.${rest}`);
}
