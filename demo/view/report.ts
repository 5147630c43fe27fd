import type { Check } from '../verify/check.ts';
import { style } from './text.ts';

/** The checks, a line each: ✓ or ✗, the figures, and some of what differs. */
export function reportLines(checks: readonly Check[]): string[] {
  const lines: string[] = [];
  for (const { ok, title, numbers, samples } of checks) {
    lines.push(`${ok ? style.good('✓') : style.bad('✗')} ${title}: ${numbers}`);
    if (!ok) for (const sample of samples) lines.push(style.dim(`    ${sample}`));
  }
  const failed = checks.filter(({ ok }) => !ok).length;
  lines.push('');
  lines.push(
    failed === 0
      ? style.good(`It adds up: all ${checks.length} checks passed.`)
      : style.bad(`It does not add up: ${failed} of ${checks.length} checks failed.`),
  );
  return lines;
}
