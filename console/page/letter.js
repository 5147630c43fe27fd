import { h } from './dom.js';
import { bytes, count, dateTime } from './format.js';

/** @param {string} title @param {readonly (readonly [string, unknown])[]} rows */
function section(title, rows) {
  const shown = rows.filter(([, value]) => value !== '' && value !== undefined && value !== null);
  return h(
    'section',
    {},
    h('h3', {}, title),
    h(
      'dl',
      {},
      ...shown.flatMap(([name, value]) => [h('dt', {}, name), h('dd', {}, String(value))]),
    ),
  );
}

/** @param {string} title @param {string} text @param {string} [about] */
function block(title, text, about = '') {
  return h(
    'section',
    {},
    h('h3', {}, title, about === '' ? null : h('span', { class: 'unit' }, about)),
    h('pre', { tabindex: '0', role: 'region', 'aria-label': title }, text),
  );
}

/** Reasons of a rejected record are written one behind the other. @param {string} message */
function reasonsOf(message) {
  const reasons = message.split('; ').filter((text) => text !== '');
  return reasons.length < 2
    ? h('p', { class: 'reason' }, message)
    : h('ul', { class: 'reason' }, ...reasons.map((text) => h('li', {}, text)));
}

/** A JSON text that a field holds is shown as what it says. @param {unknown} value */
function unfolded(value) {
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, field]) => {
      if (typeof field !== 'string' || !/^\s*[[{]/.test(field)) return [name, field];
      try {
        return [name, JSON.parse(field)];
      } catch {
        return [name, field];
      }
    }),
  );
}

/** @param {any} value an object of times, as ms, among others */
function readable(value) {
  return JSON.stringify(unfolded(value), null, 2);
}

/** Everything that is known of a letter. @param {any} letter @returns {HTMLElement[]} */
export function letterBody(letter) {
  const { topic, partition, offset, timestamp, dlq, dlqPartition, dlqOffset } = letter;
  const { headers, value, problem, valueBytes, valueBase64, resolution } = letter;
  const names = Object.keys(headers);
  return [
    h(
      'section',
      {},
      h('h3', {}, 'Why'),
      h('p', { class: 'code' }, letter.code),
      reasonsOf(letter.message),
    ),
    section('Failure', [
      ['Given up by', `${letter.consumer} / ${letter.step}`],
      ['Error', letter.errorClass],
      ['Who has to act', letter.domain],
      ['First failed', dateTime(letter.firstFailure)],
      ['Last failed', dateTime(letter.lastFailure)],
      ['Attempts', count(letter.attempts)],
      ['Came back', letter.replayCount > 0 ? `${letter.replayCount} times` : ''],
      ['Dealt with', resolution],
      ['Kind', letter.fingerprint],
      ['Version', letter.codeVersion],
    ]),
    section('Where it came from', [
      ['Record', `${topic}[${partition}]@${offset}`],
      ['Written', dateTime(timestamp)],
      ['Tenant', letter.tenant],
      ['Schema id', letter.schemaId],
      ['Letter', `${dlq}[${dlqPartition}]@${dlqOffset}`],
    ]),
    problem === undefined
      ? block(
          'Value',
          value === null ? '(a tombstone: no value)' : readable(value),
          bytes(valueBytes),
        )
      : block(
          'Value cannot be decoded',
          `${problem}\n\nbase64: ${valueBase64 ?? '(none)'}`,
          bytes(valueBytes),
        ),
    names.length === 0
      ? section('Headers', [['', 'none beside those of the failure']])
      : section(
          'Headers',
          names.map((name) => [name, headers[name]]),
        ),
  ];
}
