import type { ArchiveReport } from '../../history/archive/verify.ts';
import type { OffsetRange } from '../../history/verify/offsets.ts';
import type { Fault, PartitionReport } from '../../history/verify/report.ts';
import type { TopicReport } from '../../history/verify/topic.ts';
import { formatBytes } from '../checkpoint-view.ts';
import { line, styled, table } from '../output.ts';

/** The report of a topic as JSON: one object. */
export function topicReportJson({ topic, partitions, broken, recorded }: TopicReport): unknown {
  return {
    topic,
    recorded,
    broken,
    partitions: partitions.map(({ head, ...report }) => ({
      ...report,
      recordedTo: head?.nextOffset ?? null,
    })),
  };
}

/** For JSON.stringify: offsets as text. */
export function offsetsAsText(_name: string, value: unknown): unknown {
  return typeof value === 'bigint' ? String(value) : value;
}

/** Prints a topic's report for people. */
export function printTopicReport(report: TopicReport): void {
  const shown = report.partitions.filter(({ end, low, faults }) => end > low || faults.length > 0);
  if (shown.length === 0) line(`${report.topic} has no records.`);
  else
    line(table(['partition', 'offsets', 'records', 'bytes', 'proven', 'result'], shown.map(row)));
  for (const partition of shown) printNotes(partition);
  for (const { key, problem } of report.broken)
    line(styled('red', `head ${key} is none: ${problem.split('\n')[0]}`));
  if (report.recorded > 0) line(`${report.recorded} heads were recorded.`);
}

function row(report: PartitionReport): string[] {
  const { partition, from, to, records, bytes, proven, faults, thinned } = report;
  const result =
    faults.length > 0
      ? styled('red', `${faults.length} faults`)
      : proven.length > 0
        ? styled('green', 'intact')
        : thinned.length > 0
          ? 'compacted'
          : 'not recorded';
  return [
    String(partition),
    span({ from, to }),
    String(records),
    formatBytes(bytes),
    proven.map(span).join(' ') || '–',
    result,
  ];
}

function printNotes(report: PartitionReport): void {
  const { partition, account, faults, thinned, expired, unrecorded } = report;
  const say = (text: string) => line(`  [${partition}] ${text}`);
  const gaps = [
    [account.markers, 'transaction markers'],
    [account.aborted, 'aborted records'],
    [account.compacted + (report.isCompacted ? account.missing : 0), 'compacted away'],
  ].flatMap(([count, name]) => (count === 0 ? [] : [`${count} ${name}`]));
  if (gaps.length > 0) say(styled('dim', `offsets without a record: ${gaps.join(', ')}`));
  if (expired !== undefined)
    say(`${span(expired)} was recorded and has expired: the archive may have it`);
  for (const range of thinned)
    say(
      `${span(range)} was compacted since it was recorded: what is left cannot be proven as a whole`,
    );
  for (const range of unrecorded) say(`${span(range)} is not recorded: --record records it`);
  for (const fault of faults) say(faultText(fault));
}

function span({ from, to }: OffsetRange): string {
  return `${from}–${to > from ? to - 1n : to}`;
}

function faultText({ code, from, to, evidence, offsets = [] }: Fault): string {
  const which = offsets.length === 0 ? '' : ` (offsets ${offsets.join(', ')})`;
  return `${styled('red', code)} ${span({ from, to })}: ${evidence}${which}`;
}

/** Prints the report of an archive for people. */
export function printArchiveReport(topic: string, reports: readonly ArchiveReport[]): void {
  const rows = reports.map(({ partition, range, segments, records, bytes, confirmed, faults }) => [
    String(partition),
    range === undefined ? '–' : span(range),
    String(segments),
    String(records),
    formatBytes(bytes),
    `${confirmed}`,
    faults.length === 0 ? styled('green', 'intact') : styled('red', `${faults.length} faults`),
  ]);
  if (rows.length === 0) {
    line(`The archive has nothing of ${topic}.`);
    return;
  }
  line(
    table(
      ['partition', 'offsets', 'segments', 'records', 'bytes', 'heads confirmed', 'result'],
      rows,
    ),
  );
  for (const { partition, faults } of reports)
    for (const fault of faults) line(`  [${partition}] ${faultText(fault)}`);
}
