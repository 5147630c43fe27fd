import { setTimeout as sleep } from 'node:timers/promises';
import { createLogUpdate } from 'log-update';
import { frame } from './frame.ts';
import { plainLine } from './plain.ts';
import type { Snapshot } from './snapshot.ts';

const LIVE_INTERVAL_MS = 250;
const PLAIN_INTERVAL_MS = 2_000;

/** Shows snapshots until it is stopped. */
export interface LiveView {
  /** Shows the last snapshot once more and leaves it on the screen. */
  stop(): Promise<void>;
}

/** On a terminal a view that is drawn anew in place, elsewhere a line every two seconds. */
export function startView(stream: NodeJS.WriteStream, snapshot: () => Snapshot): LiveView {
  const stopped = new AbortController();
  const isLive = stream.isTTY;
  const screen = isLive ? createLogUpdate(stream) : undefined;
  const draw = () => {
    if (screen === undefined) stream.write(`${plainLine(snapshot())}\n`);
    else screen(frame(snapshot()).join('\n'));
  };
  const interval = isLive ? LIVE_INTERVAL_MS : PLAIN_INTERVAL_MS;
  const running = (async () => {
    while (!stopped.signal.aborted) {
      draw();
      await sleep(interval, undefined, { signal: stopped.signal }).catch(() => undefined);
    }
  })();
  return {
    async stop() {
      stopped.abort();
      await running;
      draw();
      screen?.done();
    },
  };
}
