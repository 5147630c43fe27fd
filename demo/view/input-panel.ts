import type { Snapshot } from './snapshot.ts';
import { count, duration, padded, style, WIDTH } from './text.ts';

const LABEL = 10;

function line(label: string, text: string): string {
  return `${style.title(padded(label, LABEL))}${padded(text, WIDTH - LABEL).trimEnd()}`;
}

/** What goes in: webhooks by answer, rows by operation, and how long a webhook takes to its store. */
export function inputPanel({ webhooks, rows, latency }: Snapshot): string[] {
  const answers = [...webhooks.statuses]
    .sort(([a], [b]) => a - b)
    .map(([status, answered]) => `${status}: ${count(answered)}`);
  if (webhooks.unanswered > 0) answers.push(`none: ${count(webhooks.unanswered)}`);
  const written = rows.insert + rows.update + rows.delete;
  return [
    line(
      'Webhooks',
      `${count(webhooks.sent)} sent, ${count(webhooks.perSecond)}/s, ${count(webhooks.retries)} repeats`,
    ),
    line('', answers.join('   ')),
    line(
      'Rows',
      `${count(written)} written, ${count(rows.perSecond)}/s: ${count(rows.insert)} inserted, ` +
        `${count(rows.update)} updated, ${count(rows.delete)} deleted`,
    ),
    line(
      'Latency',
      latency === undefined
        ? 'webhook to ClickHouse: not measured yet'
        : `webhook to ClickHouse: median ${duration(latency.p50)}, slowest ${duration(latency.max)}`,
    ),
  ];
}
