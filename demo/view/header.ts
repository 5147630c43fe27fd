import type { Snapshot } from './snapshot.ts';
import { clock, style, WIDTH } from './text.ts';

/** What runs, for how long, and the seed that plays the same input again. */
export function header({ phase, elapsedMs, durationMs, seed }: Snapshot): string[] {
  const left = 'Reachflow demo';
  const end = durationMs === undefined ? ', Ctrl-C ends it' : ` of ${clock(durationMs)}`;
  const right = `${phase} ${clock(elapsedMs)}${phase === 'playing' ? end : ''}  seed ${seed}`;
  const space = ' '.repeat(Math.max(1, WIDTH - left.length - right.length));
  return [`${style.title(left)}${space}${right}`, style.dim('─'.repeat(WIDTH))];
}
