import { InvalidArgumentError } from 'commander';

const UNITS: Readonly<Record<string, number>> = {
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

/** `90s`, `30m`, `2h`, `7d` ago, or a time as ISO 8601; ms since the epoch. */
export function parseSince(text: string): number {
  const [, amount, unit = ''] = /^(\d+)([smhd])$/.exec(text) ?? [];
  if (amount !== undefined) return Date.now() - Number(amount) * (UNITS[unit] ?? 0);
  const at = Date.parse(text);
  if (!Number.isFinite(at)) {
    throw new InvalidArgumentError(
      'a span such as 30m, 2h or 7d, or a time such as 2026-11-21T08:00Z',
    );
  }
  return at;
}
