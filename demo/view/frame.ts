import { header } from './header.ts';
import { inputPanel } from './input-panel.ts';
import { lagPanel } from './lag-panel.ts';
import { rejectsPanel } from './rejects-panel.ts';
import type { Snapshot } from './snapshot.ts';
import { storesPanel } from './stores-panel.ts';
import { beside, padded, style, WIDTH } from './text.ts';
import { topicsPanel } from './topics-panel.ts';

const LEFT = 39;
const RIGHT = WIDTH - LEFT - 2;

/** The whole view as lines of at most 80 columns; less than a terminal of 24 rows. */
export function frame(snapshot: Snapshot): string[] {
  const { trouble } = snapshot.seen;
  return [
    ...header(snapshot),
    ...inputPanel(snapshot),
    '',
    ...beside(topicsPanel(snapshot, LEFT), lagPanel(snapshot, RIGHT), LEFT),
    ...beside(storesPanel(snapshot, LEFT), rejectsPanel(snapshot, RIGHT), LEFT),
    ...(trouble === undefined ? [] : [style.warn(padded(trouble.replaceAll(/\s+/g, ' '), WIDTH))]),
  ];
}
