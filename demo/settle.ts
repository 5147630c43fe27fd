import { ReachflowError } from '../runtime/errors.ts';
import { gatherSource, isCaptured, type SourceFacts } from './gather.ts';
import { toSample } from './monitor.ts';
import { waitQuiet } from './quiet.ts';
import type { Session } from './session.ts';

/** How long everything that was put in may take to reach the stores. */
const SETTLE_TIMEOUT_MS = 240_000;

/**
 * Waits until everything that was put in has arrived: nothing moves any more, and the change events in the topics
 * lead to the rows in the source tables. Lag alone would not do: it does not know what the connector has yet to read.
 * @throws ReachflowError `NOT_SETTLED` when records still move after four minutes. What has not arrived although
 *   nothing moves is left for verification to show.
 */
export async function settle(
  session: Pick<Session, 'kafka' | 'stores' | 'monitor'>,
): Promise<SourceFacts> {
  const { kafka, stores, monitor } = session;
  const deadline = performance.now() + SETTLE_TIMEOUT_MS;
  for (;;) {
    const isQuiet = await waitQuiet({
      sample: async () => toSample(await monitor.look()),
      timeoutMs: deadline - performance.now(),
    });
    if (!isQuiet) throw notSettled(monitor.latest.lag);
    const facts = await gatherSource(kafka, stores);
    if (isCaptured(facts) || performance.now() >= deadline) return facts;
  }
}

function notSettled(lag: ReadonlyMap<string, number>): ReachflowError {
  const behind = [...lag].filter(([, records]) => records > 0);
  const groups = behind.map(([group, records]) => `${group} by ${records}`).join(', ');
  return new ReachflowError(
    `not everything arrived within ${SETTLE_TIMEOUT_MS / 1_000} s; behind: ${groups || 'nobody, but records still move'}`,
    {
      code: 'NOT_SETTLED',
      domain: 'internal',
      hint: "The product's log says what holds it up; with a lower --rate it may keep up.",
    },
  );
}
