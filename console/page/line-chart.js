import { h } from './dom.js';
import { inUnit, onAxis, tick, time } from './format.js';

/**
 * @typedef {object} Lines
 * @property {number[]} times seconds since the epoch
 * @property {string[]} names of the series
 * @property {(number | null)[][]} values by series
 * @property {number} step seconds between times
 */

/** @type {any} uPlot, which its own file defines. */
const uPlot = /** @type {any} */ (globalThis).uPlot;
const HEIGHT = 190;
const COLOURS = 8;
/** Below, each point is drawn: a line of one point would not show. */
const FEW_POINTS = 24;

/** The steps that data is summed up by, whatever is asked for, seconds. */
const COARSE = [3_600, 60];

/**
 * The step that rows really have: data by the minute has no finer ones.
 * @param {readonly number[]} times @param {number} step
 */
function stepOf(times, step) {
  const coarse = COARSE.find((by) => by > step && times.every((at) => at % by === 0));
  return coarse !== undefined && times.length > 1 ? coarse : step;
}

/**
 * Rows of time, series and value as columns. A step without a row is 0 of what is counted, and unknown of all else.
 * @param {readonly (readonly any[])[]} rows
 * @param {{ from: number, to: number, step: number }} bounds ms, ms and seconds
 * @param {string} unit
 * @returns {Lines}
 */
export function linesOf(rows, bounds, unit) {
  const at = rows.map(([text]) => Date.parse(String(text)) / 1_000);
  const step = stepOf(at, bounds.step);
  const first = Math.ceil(bounds.from / 1_000 / step) * step;
  const times = [];
  const isCount = unit === 'count' || unit === 'per minute';
  // The step that is under way has counted only a part: it would look like a fall.
  const end = bounds.to / 1_000 - (isCount ? step : 0);
  for (let t = Math.min(first, at[0] ?? first); t < end; t += step) times.push(t);
  const place = new Map(times.map((t, i) => [t, i]));
  const empty = isCount ? 0 : null;
  /** @type {Map<string, (number | null)[]>} */
  const series = new Map();
  for (const [i, row] of rows.entries()) {
    const name = String(row[1]);
    const values = series.get(name) ?? Array.from({ length: times.length }, () => empty);
    series.set(name, values);
    const index = place.get(at[i] ?? 0);
    if (index !== undefined) values[index] = row[2] === null ? null : Number(row[2]);
  }
  // By name: a series keeps its colour when rows come in another order.
  const sorted = [...series].sort(([a], [b]) => (a < b ? -1 : 1));
  return {
    ...{ times, step },
    names: sorted.map(([name]) => name),
    values: sorted.map(([, values]) => values),
  };
}

/** @param {string} name */
function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

/** A chart of lines over time, with a legend that follows the pointer. */
export class LineChart {
  /** @type {any} */ #plot;
  /** @type {Lines | undefined} */ #lines;
  #names = '';
  #unit;
  #plotArea = h('div', { class: 'plot', 'aria-hidden': 'true' });
  #legend = h('ul', { class: 'legend' });
  /** @type {HTMLElement[]} */ #figures = [];
  #resized;
  element = h('div', { class: 'lines' }, this.#plotArea, this.#legend);

  /** @param {string} unit */
  constructor(unit) {
    this.#unit = unit;
    this.#resized = new ResizeObserver(() => {
      const { clientWidth: width } = this.#plotArea;
      if (this.#plot !== undefined && width > 0) this.#plot.setSize({ width, height: HEIGHT });
    });
    this.#resized.observe(this.#plotArea);
  }

  /** @param {Lines} lines @param {{ from: number, to: number }} bounds ms */
  show(lines, { from, to }) {
    this.#lines = lines;
    const names = lines.names.join('\n');
    if (this.#plot === undefined || names !== this.#names) {
      this.#names = names;
      this.#build();
    }
    this.#plot.batch(() => {
      this.#plot.setData([lines.times, ...lines.values], false);
      const most = Math.max(0, ...lines.values.flat().map((value) => value ?? 0));
      this.#plot.setScale('x', { min: from / 1_000, max: to / 1_000 });
      this.#plot.setScale('y', { min: 0, max: most === 0 ? 1 : most * 1.08 });
    });
    this.#tell();
  }

  /** In the colours of now. */
  repaint() {
    if (this.#lines === undefined) return;
    const { x } = this.#plot.scales;
    this.#build();
    this.show(this.#lines, { from: x.min * 1_000, to: x.max * 1_000 });
  }

  #build() {
    this.#plot?.destroy();
    const { names = [], times = [] } = this.#lines ?? {};
    const axis = {
      stroke: colour('muted'),
      grid: { stroke: colour('grid'), width: 1 },
      ticks: { show: false },
      font: '11px system-ui, sans-serif',
    };
    const showPoints = times.length <= FEW_POINTS;
    this.#plot = new uPlot(
      {
        width: Math.max(200, this.#plotArea.clientWidth),
        height: HEIGHT,
        legend: { show: false },
        cursor: { y: false, drag: { setScale: false, x: false, y: false }, points: { size: 6 } },
        scales: { x: { time: true, auto: false }, y: { auto: false } },
        padding: [8, 8, 0, 0],
        axes: [
          {
            ...axis,
            size: 24,
            gap: 4,
            space: 72,
            values: (
              /** @type {any} */ _plot,
              /** @type {number[]} */ ticks,
              /** @type {number} */ _axis,
              /** @type {number} */ _space,
              /** @type {number} */ every,
            ) => ticks.map((at) => tick(at * 1_000, every)),
          },
          {
            ...axis,
            size: 54,
            gap: 4,
            space: 34,
            values: (/** @type {any} */ _plot, /** @type {number[]} */ ticks) =>
              ticks.map((value) => onAxis(value, this.#unit)),
          },
        ],
        series: [
          {},
          ...names.map((label, i) => ({
            label,
            stroke: colour(`series-${(i % COLOURS) + 1}`),
            width: 1.75,
            ...(names.length === 1 ? { fill: `${colour('series-1')}1f` } : {}),
            points: { show: showPoints, size: 4 },
          })),
        ],
        hooks: { setCursor: [() => this.#tell()] },
      },
      [times, ...names.map(() => times.map(() => null))],
      this.#plotArea,
    );
    this.#figures = names.map(() => h('b', {}));
    this.#legend.replaceChildren(
      ...names.map((name, i) =>
        h(
          'li',
          {},
          h('span', { class: `swatch series-${(i % COLOURS) + 1}`, 'aria-hidden': 'true' }),
          h('span', { class: 'name', title: name }, name === '' ? '(none)' : name),
          this.#figures[i],
        ),
      ),
      h('li', { class: 'when' }),
    );
  }

  /** Values at the pointer, else the newest ones. */
  #tell() {
    if (this.#lines === undefined) return;
    const { times, values } = this.#lines;
    const at = this.#plot?.cursor.idx;
    const isAt = at !== null && at !== undefined && at < times.length;
    for (const [i, figure] of this.#figures.entries()) {
      const own = values[i] ?? [];
      const value = isAt ? own[at] : own.findLast((known) => known !== null);
      figure.textContent = inUnit(value, this.#unit);
    }
    const when = this.#legend.lastElementChild;
    if (when !== null) when.textContent = isAt ? time((times[at] ?? 0) * 1_000) : '';
  }

  destroy() {
    this.#resized.disconnect();
    this.#plot?.destroy();
  }
}
