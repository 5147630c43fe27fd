import type { Snapshot } from './snapshot.ts';
import { clock, count } from './text.ts';

/** The view in one line, for logs and pipes. */
export function plainLine({ phase, elapsedMs, webhooks, rows, seen }: Snapshot): string {
  const lag = [...seen.lag.values()].reduce((sum, records) => sum + records, 0);
  const answers = [...webhooks.statuses]
    .sort(([a], [b]) => a - b)
    .map(([status, answered]) => `${status}=${answered}`)
    .join(' ');
  const stores = [...seen.stores].map(([name, n]) => `${name} ${count(n)}`).join(', ');
  const written = rows.insert + rows.update + rows.delete;
  const trouble = seen.trouble === undefined ? '' : ` | ${seen.trouble.replaceAll(/\s+/g, ' ')}`;
  return (
    `${clock(elapsedMs)} ${phase} | webhooks ${count(webhooks.sent)} (${answers}) | rows ${count(written)} | ` +
    `lag ${count(lag)} | ${stores} | DLQ offsets ${count(seen.deadLetters)}${trouble}`
  );
}
