/** Order of day, month and year where a date is not ISO 8601. */
export type TimeOrder = 'ymd' | 'dmy' | 'mdy';

const ISO = /^\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:[.,]\d{1,9})?)?(Z|[+-]\d\d:?\d\d)?)?$/;
const PARTS = /^(\d{1,4})[./-](\d{1,2})[./-](\d{1,4})(?:[T ,]+(\d{1,2}):(\d\d)(?::(\d\d))?)?$/;
const UNIX = /^\d{9,10}(?:\.\d{1,9})?$|^\d{12,13}$/;
/** Unix time in ms has more digits than in s. */
const MS_FROM = 100_000_000_000;
/** First and last time with four digits of a year. */
const MIN_MS = Date.UTC(0, 0, 1) - 1_900 * 366 * 86_400_000;
const MAX_MS = Date.UTC(9_999, 11, 31, 23, 59, 59, 999);

/**
 * ms since the epoch of ISO 8601 (UTC without a zone), unix time in s or ms, or a date in the given order; undefined
 * when the text is none of them, or names a day that there is not.
 */
export function parseTime(text: string, order: TimeOrder): number | undefined {
  if (ISO.test(text)) return parseIso(text);
  if (UNIX.test(text)) return unixMs(Number(text));
  const parts = PARTS.exec(text);
  if (parts === null) return undefined;
  const [, a = '', b = '', c = '', hour = '0', minute = '0', second = '0'] = parts;
  const [year, month, day] = order === 'ymd' ? [a, b, c] : order === 'dmy' ? [c, b, a] : [c, a, b];
  if (year.length !== 4) return undefined;
  return utc(
    Number(year),
    Number(month),
    Number(day),
    Number(hour),
    Number(minute),
    Number(second),
  );
}

function unixMs(value: number): number {
  return Math.round(value < MS_FROM ? value * 1_000 : value);
}

/** Date.parse takes the 30th of February for the 1st of March. */
function parseIso(text: string): number | undefined {
  const day = Number(text.slice(8, 10));
  const month = Number(text.slice(5, 7));
  if (day > daysOf(Number(text.slice(0, 4)), month)) return undefined;
  const zoned = /(?:Z|[+-]\d\d:?\d\d)$/.test(text.slice(10));
  const iso = text.replace(' ', 'T').replace(',', '.');
  const ms = Date.parse(iso.length === 10 || zoned ? iso : `${iso}Z`);
  return Number.isNaN(ms) || ms < MIN_MS || ms > MAX_MS ? undefined : ms;
}

function daysOf(year: number, month: number): number {
  return month < 1 || month > 12 ? 0 : new Date(Date.UTC(year, month, 0)).getUTCDate();
}

function utc(
  year: number,
  month: number,
  day: number,
  hour: number,
  minute: number,
  second: number,
): number | undefined {
  const isDay = day >= 1 && day <= daysOf(year, month);
  if (!isDay || hour > 23 || minute > 59 || second > 59) return undefined;
  return Date.UTC(year, month - 1, day, hour, minute, second);
}
