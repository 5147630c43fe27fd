const LOCALE = navigator.language;
const whole = new Intl.NumberFormat(LOCALE, { maximumFractionDigits: 0 });
const fine = new Intl.NumberFormat(LOCALE, { maximumSignificantDigits: 3 });
const compact = new Intl.NumberFormat(LOCALE, { notation: 'compact', maximumFractionDigits: 1 });
const percent = new Intl.NumberFormat(LOCALE, { style: 'percent', maximumFractionDigits: 1 });
const clock = new Intl.DateTimeFormat(LOCALE, { timeStyle: 'medium' });
const day = new Intl.DateTimeFormat(LOCALE, { dateStyle: 'medium', timeStyle: 'medium' });
const UNKNOWN = '–';

/** With thousands separators. @param {number | undefined} value */
export function count(value) {
  if (value === undefined || !Number.isFinite(value)) return UNKNOWN;
  return Math.abs(value) >= 100 || Number.isInteger(value)
    ? whole.format(value)
    : fine.format(value);
}

/** 12.3K @param {number} value */
export function short(value) {
  return Math.abs(value) < 1_000 ? fine.format(value) : compact.format(value);
}

/** @param {number | undefined} value */
export function rate(value) {
  return value === undefined
    ? UNKNOWN
    : `${value >= 10_000 ? compact.format(value) : count(value)}/s`;
}

/** @param {number | undefined} value */
export function bytes(value) {
  if (value === undefined) return UNKNOWN;
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let amount = value;
  let unit = 0;
  while (amount >= 1_024 && unit < units.length - 1) {
    amount /= 1_024;
    unit += 1;
  }
  return `${fine.format(amount)} ${units[unit]}`;
}

/** @param {number | undefined} ms */
export function span(ms) {
  if (ms === undefined || !Number.isFinite(ms)) return UNKNOWN;
  const size = Math.abs(ms);
  if (size < 1_000) return `${whole.format(ms)} ms`;
  if (size < 60_000) return `${fine.format(ms / 1_000)} s`;
  if (size < 3_600_000) return `${fine.format(ms / 60_000)} min`;
  return size < 86_400_000
    ? `${fine.format(ms / 3_600_000)} h`
    : `${fine.format(ms / 86_400_000)} d`;
}

/** How long ago, without parts of a second that only flicker. @param {number} ms */
export function age(ms) {
  const size = Math.max(0, ms);
  return size < 10_000 ? `${(size / 1_000).toFixed(1)} s` : span(Math.round(size / 1_000) * 1_000);
}

/** Seconds of a step as people say it. @param {number} seconds */
export function step(seconds) {
  if (seconds < 60) return seconds === 1 ? 'second' : `${seconds} s`;
  if (seconds < 3_600) return seconds === 60 ? 'minute' : `${seconds / 60} min`;
  return seconds === 3_600 ? 'hour' : `${seconds / 3_600} h`;
}

/** A value in the unit of its chart. @param {number | null | undefined} value @param {string} unit */
export function inUnit(value, unit) {
  if (value === null || value === undefined) return UNKNOWN;
  if (unit === 'ms') return span(value);
  if (unit === 'ratio') return percent.format(value);
  if (unit === 'per minute') return `${count(value)}/min`;
  return count(value);
}

/** The same, for an axis. @param {number} value @param {string} unit */
export function onAxis(value, unit) {
  if (unit === 'ms') return span(value);
  return unit === 'ratio' ? percent.format(value) : short(value);
}

const minutes = new Intl.DateTimeFormat(LOCALE, { timeStyle: 'short' });
const days = new Intl.DateTimeFormat(LOCALE, { day: 'numeric', month: 'short' });

/** On a time axis. @param {number} ms @param {number} every seconds between two of them */
export function tick(ms, every) {
  const date = new Date(ms);
  if (every < 60) return clock.format(date);
  const isMidnight = date.getHours() === 0 && date.getMinutes() === 0;
  return every >= 86_400 || isMidnight ? days.format(date) : minutes.format(date);
}

const isUtc = new Date().getTimezoneOffset() === 0;

/** The UTC clock beside a local one. @param {Date} date */
function utc(date) {
  return isUtc ? 'UTC' : `${date.toISOString().slice(11, 19)} UTC`;
}

/** `14:03:20 (13:03:20 UTC)` @param {number} ms */
export function time(ms) {
  const date = new Date(ms);
  return isUtc ? `${clock.format(date)} UTC` : `${clock.format(date)} (${utc(date)})`;
}

/** With its date. @param {number} ms */
export function dateTime(ms) {
  const date = new Date(ms);
  return isUtc ? `${day.format(date)} UTC` : `${day.format(date)} (${utc(date)})`;
}
