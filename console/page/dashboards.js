import { follow } from './api.js';
import { h, setText, tableOf } from './dom.js';
import { age, count, dateTime, inUnit, step as stepText, time } from './format.js';
import { LineChart, linesOf } from './line-chart.js';

/**
 * @typedef {object} ChartInfo
 * @property {string} id
 * @property {string} title
 * @property {string} description
 * @property {string} unit
 * @property {'lines' | 'bars' | 'funnel' | 'table' | 'number'} kind
 * @property {string} [part]
 * @property {boolean} isThere
 */

/** The newest event that has come through, which is no chart: how fresh the charts' data is. */
const NEWEST = 'newest-event';
const MAX_TABLE_ROWS = 200;
const TICK_MS = 500;
const DATE = /^\d{4}-\d\d-\d\d[T ]\d\d:\d\d/;

/** @param {any} value @param {string} type ClickHouse's */
function cell(value, type) {
  if (value === null || value === undefined) return '–';
  if (typeof value === 'number') return count(value);
  const text = String(value);
  return type.includes('DateTime') && DATE.test(text) ? dateTime(Date.parse(text)) : text;
}

/** One chart in its frame: drawn, or as a table. */
class Card {
  #info;
  #body = h('div', { class: 'body' });
  #age = h('span', { class: 'age' });
  #unit = h('span', { class: 'unit' });
  #toggle;
  /** @type {LineChart | undefined} */ #lines;
  /** @type {any} */ #answer;
  #showsTable = false;
  element;

  /** @param {ChartInfo} info */
  constructor(info) {
    this.#info = info;
    const canToggle = info.kind !== 'table' && info.kind !== 'number';
    this.#toggle = h(
      'button',
      {
        type: 'button',
        class: 'quiet small',
        'aria-pressed': 'false',
        'aria-label': `${info.title} as a table`,
        click: () => this.#flip(),
      },
      'Table',
    );
    const heading = `chart-${info.id}`;
    this.element = h(
      'section',
      { class: `card kind-${info.kind}`, 'aria-labelledby': heading, 'data-chart': info.id },
      h(
        'header',
        {},
        h('h3', { id: heading }, info.title),
        this.#unit,
        this.#age,
        canToggle ? this.#toggle : null,
      ),
      h('p', { class: 'about', title: info.description }, info.description),
      this.#body,
    );
    this.#body.append(h('p', { class: 'empty' }, 'Asking …'));
    if (!info.isThere) this.#missing();
  }

  #missing() {
    const { part = '' } = this.#info;
    this.#note(
      `Nothing to show: the pipeline “${part}” does not run here.`,
      `Name it in pipelines.optional, then start again.`,
    );
  }

  #flip() {
    this.#showsTable = !this.#showsTable;
    this.#toggle.setAttribute('aria-pressed', String(this.#showsTable));
    this.#clear();
    this.#draw();
  }

  #clear() {
    this.#lines?.destroy();
    this.#lines = undefined;
    this.#body.replaceChildren();
  }

  /** @param {string} text @param {string} [hint] @param {string} [kind] */
  #note(text, hint = '', kind = 'empty') {
    this.#clear();
    this.#body.append(
      h('p', { class: kind }, text, hint === '' ? null : h('span', { class: 'hint' }, hint)),
    );
  }

  /** @param {any} answer a whole one, or only when it was asked */
  take(answer) {
    this.#answer = { ...this.#answer, ...answer };
    if (answer.problem !== undefined) this.#answer = answer;
    else if (answer.rows !== undefined) this.#answer = answer;
    this.#draw();
    this.tick();
  }

  /** What it shows is of another tenant or range than what is asked for now. */
  reset() {
    this.#answer = undefined;
    setText(this.#age, '');
    if (this.#info.isThere) this.#note('Asking …');
  }

  /** How old it is. */
  tick() {
    const { at, ms } = this.#answer ?? {};
    if (at === undefined) return;
    setText(this.#age, age(Date.now() - at));
    this.#age.title = `Asked at ${time(at)}; ClickHouse answered in ${ms} ms`;
    this.#age.classList.toggle('old', Date.now() - at > 10_000);
  }

  repaint() {
    this.#lines?.repaint();
  }

  #draw() {
    const { problem, rows } = this.#answer ?? {};
    if (!this.#info.isThere) return this.#missing();
    if (problem !== undefined) {
      const isEmpty = problem.code === 'CHART_EMPTY';
      return this.#note(`${problem.detail}.`, problem.hint, isEmpty ? 'empty' : 'problem');
    }
    if (rows === undefined) return undefined;
    const { kind } = this.#info;
    if (rows.length === 0 && kind !== 'number') {
      return this.#note('No data for this tenant and range.', 'Choose a longer range.');
    }
    if (kind === 'number') return this.#number();
    if (kind === 'table' || this.#showsTable) return this.#table();
    return kind === 'lines' ? this.#drawLines() : this.#bars();
  }

  #number() {
    const [row] = this.#answer.rows;
    const value = row?.[0];
    const text = inUnit(
      value === null || value === undefined ? undefined : Number(value),
      this.#info.unit,
    );
    const [known] = this.#body.getElementsByTagName('output');
    if (known === undefined) this.#body.replaceChildren(h('output', { class: 'figure' }, text));
    else setText(known, text);
  }

  #drawLines() {
    const { rows, from, to, step } = this.#answer;
    const { unit, title } = this.#info;
    const lines = linesOf(rows, { from, to, step }, unit);
    setText(this.#unit, unit === 'count' ? `per ${stepText(lines.step)}` : '');
    if (this.#lines === undefined) {
      this.#lines = new LineChart(unit);
      this.#body.replaceChildren(
        this.#lines.element,
        h(
          'p',
          { class: 'hidden' },
          `${title} is drawn as lines; the button Table shows its values.`,
        ),
      );
    }
    this.#lines.show(lines, { from, to });
  }

  #bars() {
    const rows = /** @type {[string, number][]} */ (this.#answer.rows);
    const { unit, kind, title } = this.#info;
    const most = unit === 'ratio' ? 1 : Math.max(...rows.map(([, value]) => value), 0);
    const first = rows[0]?.[1] ?? 0;
    const list = h(
      'ul',
      { class: `bars ${kind}`, 'aria-label': title },
      ...rows.map(([label, value]) => {
        const fill = h('span', { class: 'fill' });
        fill.style.setProperty('inline-size', `${most === 0 ? 0 : (value / most) * 100}%`);
        const share =
          kind === 'funnel' && first > 0 ? h('i', {}, inUnit(value / first, 'ratio')) : null;
        return h(
          'li',
          {},
          h('span', { class: 'name', title: label }, label === '' ? '(none)' : label),
          h('span', { class: 'track', 'aria-hidden': 'true' }, fill),
          h('b', {}, inUnit(value, unit), share),
        );
      }),
    );
    this.#body.replaceChildren(list);
  }

  #table() {
    const { rows, columns } = this.#answer;
    const numeric = new Set(
      columns.flatMap((/** @type {any} */ { type }, /** @type {number} */ i) =>
        /Int|Float|Decimal/.test(type) ? [i] : [],
      ),
    );
    const shown = this.#info.kind === 'table' ? rows : rows.slice(-MAX_TABLE_ROWS);
    const valueAt = columns.findIndex((/** @type {any} */ { name }) => name === 'value');
    const table = tableOf(
      columns.map((/** @type {any} */ { name }) => name.replaceAll('_', ' ')),
      shown.map((/** @type {any[]} */ row) =>
        row.map((value, i) =>
          i === valueAt ? inUnit(value, this.#info.unit) : cell(value, columns[i].type),
        ),
      ),
      { caption: this.#info.title, numeric },
    );
    const [known] = this.#body.getElementsByClassName('scroll');
    if (known !== undefined) known.replaceChildren(table);
    else {
      const region = {
        class: 'scroll',
        tabindex: '0',
        role: 'region',
        'aria-label': this.#info.title,
      };
      this.#body.replaceChildren(h('div', region, table));
    }
  }

  destroy() {
    this.#clear();
  }
}

/** The charts, live. */
export class Dashboards {
  #session;
  #live;
  /** @type {Map<string, Card>} */ #cards = new Map();
  /** @type {(() => void) | undefined} */ #end;
  #timer = 0;
  #newest = 0;
  #heard = 0;
  #key = '';
  element = h('div', { class: 'dashboards' });

  /** @param {any} session @param {(state: string, text: string, title?: string) => void} live tells how fresh it is */
  constructor(session, live) {
    this.#session = session;
    this.#live = live;
    const charts = /** @type {ChartInfo[]} */ (session.charts);
    for (const info of charts) this.#cards.set(info.id, new Card(info));
    const of = (/** @type {boolean} */ isNumber) =>
      charts
        .filter(({ kind }) => (kind === 'number') === isNumber)
        .map(({ id }) => this.#cards.get(id)?.element ?? null);
    this.element.append(
      h('h2', { class: 'hidden' }, 'Dashboards'),
      h('div', { class: 'numbers' }, ...of(true)),
      h('div', { class: 'grid' }, ...of(false)),
    );
  }

  /** @param {{ tenant: string, range: string }} about */
  open({ tenant, range }) {
    this.close();
    this.#newest = 0;
    this.#heard = 0;
    const key = `${tenant} ${range}`;
    if (key !== this.#key) for (const card of this.#cards.values()) card.reset();
    this.#key = key;
    this.#live('waiting', 'Connecting …');
    const query = new URLSearchParams({ tenant, range });
    this.#end = follow(
      `/api/charts/stream?${query}`,
      (_event, answer) => this.#take(answer),
      (problem) => this.#live('trouble', problem.message, problem.hint),
    );
    this.#timer = window.setInterval(() => this.#tick(), TICK_MS);
  }

  /** @param {any} answer */
  #take(answer) {
    if (answer.id === NEWEST) {
      const [[value] = [0]] = answer.rows ?? [];
      if (answer.rows !== undefined) this.#newest = Number(value);
      this.#heard = Date.now();
      return;
    }
    this.#heard = Date.now();
    this.#cards.get(answer.id)?.take(answer);
  }

  #tick() {
    for (const card of this.#cards.values()) card.tick();
    if (this.#heard === 0) return;
    const silence = Date.now() - this.#heard;
    const newest =
      this.#newest === 0
        ? 'no events in this range'
        : `newest event ${age(Date.now() - this.#newest)} ago`;
    const title = this.#newest === 0 ? '' : `Received at ${dateTime(this.#newest)}`;
    if (silence > 8_000) this.#live('trouble', `Nothing heard for ${age(silence)}`, title);
    else this.#live('well', `Live, ${newest}`, title);
  }

  repaint() {
    for (const card of this.#cards.values()) card.repaint();
  }

  close() {
    this.#end?.();
    this.#end = undefined;
    clearInterval(this.#timer);
  }

  destroy() {
    this.close();
    for (const card of this.#cards.values()) card.destroy();
  }

  get hasRange() {
    return this.#session.charts.length > 0;
  }
}
