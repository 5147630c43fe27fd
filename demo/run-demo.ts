import { setTimeout as sleep } from 'node:timers/promises';
import { gatherFacts } from './gather.ts';
import { play } from './input/player.ts';
import { poison } from './input/poison.ts';
import { type DemoDeps, type DemoOptions, productLogFile } from './options.ts';
import { queryLines } from './queries.ts';
import { openSession, type Session } from './session.ts';
import { settle } from './settle.ts';
import type { Check } from './verify/check.ts';
import { verify } from './verify/verify.ts';
import { type LiveView, startView } from './view/live.ts';
import { reportLines } from './view/report.ts';
import type { Phase } from './view/snapshot.ts';
import { duration } from './view/text.ts';

/** When the undecodable records go in, after the input began: good ones come before and after. */
const POISON_AFTER_MS = 1_000;

/**
 * Plays real input through the whole product and verifies what came of it.
 * @returns whether everything adds up.
 * @throws ReachflowError when an engine or the product fails.
 */
export async function runDemo(options: DemoOptions, deps: DemoDeps): Promise<boolean> {
  const say = (text: string) => deps.stdout.write(`${text}\n`);
  const since = performance.now();
  say('Starting the engines (the first time, they are fetched before) …');
  const stack = await deps.upStack({ ...options.stack, signal: deps.interrupted });
  say(
    `The engines are ${stack.started ? 'up' : 'already up'} (${duration(performance.now() - since)}).`,
  );
  const stopsStack = stack.started && !options.keepStack;
  try {
    say('Starting the product: webhooks, change data capture, pipelines, sinks …');
    const session = await openSession(options, stack.endpoints, deps);
    say(`It takes webhooks at ${session.product.webhookUrl}/webhooks/ingest/{github,shop}.`);
    say(`It is process ${session.product.pid}; its log: ${productLogFile(options.stack.dir)}`);
    if (session.consoleUrl !== undefined) say(`See all of it at ${session.consoleUrl}`);
    if (!options.once) say(`\n${queryLines(stack.endpoints, options.stack.dir).join('\n')}`);
    say('');
    try {
      const checks = await playAndVerify(session, options, deps);
      say(`\n${reportLines(checks).join('\n')}\n`);
      if (options.once && stopsStack) {
        say(
          'The engines stop now. Start them with `npx reachflow stack up`, or next time add --keep-stack.',
        );
      }
      if (options.once) say(queryLines(stack.endpoints, options.stack.dir).join('\n'));
      if (!options.once) await stayUp(session, deps, say);
      return checks.every(({ ok }) => ok);
    } finally {
      await session.close();
    }
  } finally {
    if (stopsStack) {
      say('Stopping the engines; their data stays, `reachflow stack up` brings them back.');
      await deps.downStack(options.stack.dir);
    } else {
      say(`The engines stay up: \`reachflow stack down\` stops them.`);
    }
  }
}

async function playAndVerify(
  session: Session,
  options: DemoOptions,
  deps: DemoDeps,
): Promise<readonly Check[]> {
  const began = performance.now();
  const durationMs = options.seconds === undefined ? undefined : options.seconds * 1_000;
  let phase: Phase = 'playing';
  const snapshot = () =>
    session.snapshot({ phase, elapsedMs: performance.now() - began, durationMs });
  session.monitor.start();
  const view: LiveView = startView(deps.stdout, snapshot);
  const work = async () => {
    await playInput(session, options, deps.interrupted, durationMs);
    phase = 'draining';
    const source = await settle(session);
    phase = 'verifying';
    return verify(await gatherFacts(session.kafka, session.stores, source, session.ledger));
  };
  try {
    return await Promise.race([session.product.ended, work()]);
  } finally {
    await session.monitor.stop();
    await view.stop();
  }
}

/** Until the time is up, Ctrl-C, or the end of the product. */
async function playInput(
  session: Session,
  { rate }: DemoOptions,
  interrupted: AbortSignal,
  durationMs: number | undefined,
): Promise<void> {
  const ended = new AbortController();
  const onEnd = () => ended.abort();
  session.product.ended.catch(onEnd);
  const times = durationMs === undefined ? [] : [AbortSignal.timeout(durationMs)];
  const signal = AbortSignal.any([interrupted, ended.signal, ...times]);
  const { sender, deliveries, writer, workload, kafka, runId } = session;
  await Promise.all([
    play({ sender, deliveries, writer, workload, rate, signal }),
    sleep(POISON_AFTER_MS).then(() => poison(kafka.sendRaw, runId)),
  ]);
}

/** After a verdict that came before Ctrl-C: nothing goes in any more, everything can be looked at. */
async function stayUp(
  session: Session,
  { interrupted }: DemoDeps,
  say: (text: string) => void,
): Promise<void> {
  if (interrupted.aborted) return;
  say('Everything stays up to be looked at; Ctrl-C ends it.');
  const until = new Promise<void>((resolve) =>
    interrupted.addEventListener('abort', () => resolve(), { once: true }),
  );
  await Promise.race([session.product.ended, until]);
}
