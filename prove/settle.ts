import { setTimeout as delay } from 'node:timers/promises';
import { type Count, isRight } from './count/verdict.ts';

const LOOK_MS = 3_000;
/** After everything was right, look again this much later: what comes late must not make it wrong. */
const AGAIN_MS = 5_000;

export interface SettleOptions {
  readonly look: () => Promise<readonly Count[]>;
  readonly timeoutMs: number;
  readonly onLook: (counts: readonly Count[]) => void;
}

/**
 * Counts until all is right twice in a row, or the time is up: what is still on its way is missing until it arrives.
 * Repeats and reordered records do not go away by waiting.
 * @returns the last counts. @throws what the last look threw, when no look succeeded.
 */
export async function settle({
  look,
  timeoutMs,
  onLook,
}: SettleOptions): Promise<readonly Count[]> {
  const deadline = performance.now() + timeoutMs;
  let counts: readonly Count[] | undefined;
  let failure: unknown;
  let isStable = false;
  for (;;) {
    try {
      counts = await look();
      onLook(counts);
    } catch (error) {
      // A store that has just come back may not answer yet.
      failure = error;
    }
    const isAllRight = counts?.every(isRight) === true;
    if ((isAllRight && isStable) || performance.now() >= deadline) break;
    isStable = isAllRight;
    await delay(isAllRight ? AGAIN_MS : LOOK_MS);
  }
  if (counts === undefined) throw failure;
  return counts;
}
