import { styleText } from 'node:util';

/** Columns of the whole view: fits the smallest usual terminal. */
export const WIDTH = 80;

/** 12345 → 12,345. */
export function count(value: number): string {
  return Math.round(value).toLocaleString('en-US');
}

/** 75000 → 1:15. */
export function clock(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1_000));
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}`;
}

/** 1234 → 1.2 s, 87 → 87 ms. */
export function duration(ms: number): string {
  return ms < 1_000 ? `${Math.round(ms)} ms` : `${(ms / 1_000).toFixed(1)} s`;
}

/** Cuts a text that is too long, or fills it up, to exactly `width` characters. */
export function padded(text: string, width: number): string {
  return text.length > width ? `${text.slice(0, Math.max(0, width - 1))}…` : text.padEnd(width);
}

/** A label on the left, its figure on the right, `width` characters in all. */
export function row(label: string, value: string, width: number): string {
  const space = width - value.length - 1;
  return `${padded(label, space)} ${value}`;
}

/** Two blocks of lines side by side. @param left lines of exactly `width` characters (before styles). */
export function beside(left: readonly string[], right: readonly string[], width: number): string[] {
  const height = Math.max(left.length, right.length);
  return Array.from(
    { length: height },
    (_, i) => `${left[i] ?? ' '.repeat(width)}  ${right[i] ?? ''}`,
  );
}

/** Styles are left out where the terminal, or NO_COLOR, does not want them. */
export const style = {
  title: (text: string) => styleText('bold', text),
  dim: (text: string) => styleText('dim', text),
  good: (text: string) => styleText('green', text),
  bad: (text: string) => styleText('red', text),
  warn: (text: string) => styleText('yellow', text),
} as const;
