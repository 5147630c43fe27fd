import type { OffsetAccount, OffsetRange } from './offsets.ts';
import type { Fault } from './report.ts';
import type { Stretch } from './tree-check.ts';

/** What stretches mean. */
export interface Conclusion {
  readonly proven: readonly OffsetRange[];
  readonly thinned: readonly OffsetRange[];
  readonly faults: readonly Fault[];
}

/**
 * Tells what is legal from what is not. In a compacted topic records may be missing, never be others; and only where offsets
 * without records account for them.
 */
export function conclude(
  stretches: readonly Stretch[],
  account: OffsetAccount,
  isCompacted: boolean,
): Conclusion {
  const proven: OffsetRange[] = [];
  const thinned: OffsetRange[] = [];
  const faults: Fault[] = [];
  const removed = account.compacted + account.missing;
  for (const stretch of stretches) {
    const { from, to, state, found, expected } = stretch;
    if (state === 'proven') join(proven, { from, to });
    else if (state === 'head') {
      join(proven, { from, to });
      faults.push({ code: 'HEAD_ALTERED', from: to, to: to + 1n, evidence: HEAD_EVIDENCE });
    } else if (isCompacted && found < expected && expected - found <= removed) {
      join(thinned, { from, to });
    } else faults.push(fault(stretch));
  }
  if (!isCompacted) faults.push(...holes(account));
  return { proven, thinned, faults };
}

const HEAD_EVIDENCE =
  'the records before and behind it lead from the head before to the head after; this head does not fit them';

function fault({ from, to, found, expected }: Stretch): Fault {
  const counts = `${found} records, ${expected} were recorded`;
  if (found < expected) return { code: 'RECORDS_MISSING', from, to, evidence: counts };
  if (found > expected) return { code: 'RECORDS_ADDED', from, to, evidence: counts };
  const evidence = `${counts}, but the root of the tree is another: a record, or the head at ${to}, was altered`;
  return { code: 'RECORDS_ALTERED', from, to, evidence };
}

function holes({ holes: found, missing, compacted }: OffsetAccount): Fault[] {
  const faults: Fault[] = found.map(({ from, to }) => ({
    code: 'OFFSETS_MISSING',
    from,
    to,
    evidence: `${to - from} of ${missing} offsets that no batch has, and the topic is not compacted`,
  }));
  const [first] = found;
  if (compacted > 0 && first === undefined) {
    const evidence = `${compacted} records were taken out of their batches, and the topic is not compacted`;
    faults.push({ code: 'OFFSETS_MISSING', from: 0n, to: 0n, evidence });
  }
  return faults;
}

function join(ranges: OffsetRange[], { from, to }: OffsetRange): void {
  const last = ranges.at(-1);
  if (last?.to === from) ranges[ranges.length - 1] = { from: last.from, to };
  else ranges.push({ from, to });
}
