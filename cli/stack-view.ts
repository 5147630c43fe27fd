import { createLogUpdate } from 'log-update';
import {
  type ComponentStatus,
  componentNames,
  type StackEvent,
  type StackStatus,
} from '../compose/types.ts';
import { table } from './output.ts';

/** Shows what a stack operation is doing. */
export interface StackView {
  show(event: StackEvent): void;
  /** Call once at the end, also after an error: what is on the screen stays there. */
  end(): void;
}

/**
 * On a terminal one line per component, redrawn; otherwise plain lines: each change at once, and a step that
 * goes on and on every five seconds.
 */
export function createStackView(stream: NodeJS.WriteStream = process.stderr): StackView {
  // Some pseudo-terminals have no size: nothing could be redrawn there.
  return stream.isTTY && stream.rows > 0 ? redrawingView(stream) : lineView(stream);
}

function redrawingView(stream: NodeJS.WriteStream): StackView {
  const latest = new Map<string, StackEvent>();
  const redraw = createLogUpdate(stream);
  return {
    show(event) {
      latest.set(event.component, event);
      const width = stream.columns;
      const lines = ['stack', ...componentNames]
        .map((name) => latest.get(name))
        .filter((known) => known !== undefined)
        .map((known) => eventLine(known).slice(0, width - 1));
      redraw(lines.join('\n'));
    },
    end() {
      redraw.done();
    },
  };
}

const REPEAT_MS = 5_000;

function lineView(stream: NodeJS.WriteStream): StackView {
  const shown = new Map<string, { key: string; at: number }>();
  return {
    show(event) {
      const key = `${event.phase} ${event.status}`;
      const before = shown.get(event.component);
      const isRepeated = before?.key === key && event.status === 'working';
      if (isRepeated && Date.now() - before.at < REPEAT_MS) return;
      shown.set(event.component, { key, at: Date.now() });
      stream.write(`${eventLine(event)}\n`);
    },
    end() {},
  };
}

const marks: Readonly<Record<StackEvent['status'], string>> = {
  working: '…',
  done: '✓',
  cached: '✓',
  failed: '✗',
};

/** One event as one line: `✓ kafka          start      4.5 s  ready`. */
export function eventLine(event: StackEvent): string {
  const seconds = `${(event.elapsedMs / 1000).toFixed(1)} s`.padStart(8);
  const { component, phase, message } = event;
  return `${marks[event.status]} ${component.padEnd(14)} ${phase.padEnd(10)}${seconds}  ${message}`;
}

/** The components of a stack as a table for people, with their sum of memory below. */
export function statusTable(status: StackStatus): string {
  const rows = status.components.map((component) => [
    component.name,
    component.version,
    component.endpoint,
    component.state,
    megabytes(component.rssBytes),
    startTime(component),
  ]);
  const total = status.components.reduce((sum, { rssBytes }) => sum + (rssBytes ?? 0), 0);
  const head = ['component', 'version', 'endpoint', 'state', 'memory', 'started in'];
  const sum = total === 0 ? '' : `\nMemory in all: ${megabytes(total)}`;
  return `${table(head, rows)}${sum}`;
}

function megabytes(bytes: number | undefined): string {
  return bytes === undefined ? '' : `${Math.round(bytes / (1024 * 1024))} MiB`;
}

function startTime({ startedInMs }: ComponentStatus): string {
  return startedInMs === undefined ? '' : `${(startedInMs / 1000).toFixed(1)} s`;
}
