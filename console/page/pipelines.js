import { follow, get } from './api.js';
import { byId, h, s, setText, tableOf } from './dom.js';
import { age, bytes, count, rate, span } from './format.js';

const KINDS = /** @type {Record<string, string>} */ ({
  connector: 'Connector',
  topic: 'Topic',
  task: 'Pipeline',
  sink: 'Sink',
});
const HEALTH = /** @type {Record<string, string>} */ ({
  well: 'running',
  waiting: 'waiting',
  trouble: 'in trouble',
});
const STORE_HEIGHT = 20;
/** As console/pipelines/graph.ts leaves room for. */
const STORES_SHOWN = 4;
const MORE = '';
const PADDING = 12;
/** Average width of a letter, px, to cut what would not fit. */
const LETTER = 7.1;

/** @param {string} text @param {number} width px */
function cut(text, width) {
  const most = Math.floor(width / LETTER);
  return text.length <= most ? text : `${text.slice(0, most - 1)}…`;
}

/** Lines of figures on a node. @param {string} kind @param {any} figures */
function linesOf(kind, figures) {
  if (kind === 'connector') return [Object.keys(figures?.states ?? {})[0] ?? 'not running'];
  if (kind === 'topic') return [rate(figures?.rate)];
  const lag = `lag ${count(figures?.lag)}`;
  if (kind === 'sink') return [`${rate(figures?.rate)}   ${lag}`, statesOf(figures)];
  const mark = figures?.watermarkAge;
  return [
    `${rate(figures?.rate)}   ${lag}`,
    `watermark ${mark === undefined ? '–' : `${span(mark.newest)} old`}   state ${bytes(figures?.stateBytes)}`,
  ];
}

/** @param {any} figures */
function statesOf(figures) {
  const states = Object.entries(figures?.states ?? {});
  return states.map(([state, tasks]) => `${tasks} ${state}`).join(', ') || 'no process';
}

/** A box of the graph. */
class Box {
  #node;
  /** @type {SVGTextElement[]} */ #lines;
  /** @type {Map<string, SVGTextElement>} */ #stores = new Map();
  #badge = s('text', { class: 'badge', 'text-anchor': 'end' });
  element;

  /** @param {any} node @param {(node: any) => void} onOpen */
  constructor(node, onOpen) {
    this.#node = node;
    const { x, y, width, height, kind, title, subtitle, stores } = node;
    const inner = width - 2 * PADDING;
    const isLong = stores.length > STORES_SHOWN;
    const shown = isLong ? [...stores.slice(0, STORES_SHOWN - 1), MORE] : stores;
    const isTopic = kind === 'topic';
    const line = (/** @type {number} */ at, /** @type {string} */ name) =>
      s('text', { x: PADDING, y: at, class: name });
    const first = kind === 'connector' || isTopic ? 36 : 58;
    this.#lines = [line(first, 'figures'), line(first + 18, 'figures')];
    this.element = s(
      'g',
      {
        class: `node ${kind}`,
        transform: `translate(${x - width / 2} ${y - height / 2})`,
        tabindex: '0',
        role: 'button',
        'data-node': node.id,
        click: () => onOpen(node),
        keydown: (/** @type {KeyboardEvent} */ event) => {
          if (event.key !== 'Enter' && event.key !== ' ') return;
          event.preventDefault();
          onOpen(node);
        },
      },
      s('rect', { width, height, rx: isTopic ? height / 2.6 : 8 }),
      s('circle', { cx: width - 14, cy: 17, r: 4, class: 'lamp' }),
      s('text', { x: PADDING, y: 21, class: 'title' }, cut(title, inner - 14)),
      kind === 'task' || kind === 'sink'
        ? s(
            'text',
            { x: PADDING, y: 37, class: 'subtitle' },
            cut(subtitle || KINDS[kind] || '', inner),
          )
        : null,
      ...this.#lines,
      ...shown.map((/** @type {string} */ store, /** @type {number} */ i) => {
        const at = height - (shown.length - i) * STORE_HEIGHT + 8;
        const figure = s('text', {
          x: width - PADDING,
          y: at,
          class: 'store',
          'text-anchor': 'end',
        });
        this.#stores.set(store, figure);
        return s(
          'g',
          {},
          s('line', { x1: PADDING, x2: width - PADDING, y1: at - 14, y2: at - 14, class: 'rule' }),
          s(
            'text',
            { x: PADDING, y: at, class: 'store' },
            store === MORE
              ? `${stores.length - STORES_SHOWN + 1} more stores`
              : `▤ ${cut(store, inner - 96)}`,
          ),
          figure,
        );
      }),
      this.#badge,
    );
    this.#badge.setAttribute('x', String(width - PADDING));
    this.#badge.setAttribute('y', '37');
    this.show(undefined);
  }

  /** @param {any} figures */
  show(figures) {
    const { kind, title, subtitle } = this.#node;
    const lines = linesOf(kind, figures);
    for (const [i, line] of this.#lines.entries()) setText(line, lines[i] ?? '');
    for (const [name, element] of this.#stores) {
      if (name === MORE) continue;
      const own = figures?.stores?.[name];
      setText(element, own === undefined ? '–' : `${count(own.entries)} · ${bytes(own.bytes)}`);
    }
    const letters = figures?.letters ?? 0;
    setText(this.#badge, letters > 0 ? `${count(letters)} in DLQ` : '');
    const health = figures?.health ?? 'waiting';
    this.element.dataset['health'] = health;
    const isKnown = kind !== 'topic';
    const state = isKnown ? `, ${HEALTH[health]}` : '';
    const label = `${KINDS[kind]} ${title} ${subtitle}${state}: ${lines.join(', ')}`;
    if (this.element.getAttribute('aria-label') !== label) {
      this.element.setAttribute('aria-label', label.replace(/\s+/g, ' '));
    }
  }
}

/** A smooth line through the points that the layout gave. @param {{ x: number, y: number }[]} points */
function pathOf(points) {
  const [first, ...rest] = points;
  if (first === undefined) return '';
  let path = `M${first.x} ${first.y}`;
  for (let i = 0; i < rest.length - 1; i += 1) {
    const [a, b] = [rest[i], rest[i + 1]];
    if (a === undefined || b === undefined) break;
    const isLast = i === rest.length - 2;
    const end = isLast ? b : { x: (a.x + b.x) / 2, y: (a.y + b.y) / 2 };
    path += ` Q${a.x} ${a.y} ${end.x} ${end.y}`;
  }
  const last = rest.at(-1);
  return rest.length === 1 && last !== undefined ? `${path} L${last.x} ${last.y}` : path;
}

/** The pipelines' graph, live. */
export class Pipelines {
  #live;
  /** @type {Map<string, Box>} */ #boxes = new Map();
  /** @type {any[]} */ #nodes = [];
  /** @type {any} */ #figures;
  /** @type {(() => void) | undefined} */ #end;
  /** @type {string | undefined} */ #open;
  #canvas = h('div', {
    class: 'canvas',
    tabindex: '0',
    role: 'region',
    'aria-label': 'Graph of the pipelines; the table below it has the same figures',
  });
  #table = h('div', { class: 'scroll' });
  #detail = h('dialog', { class: 'drawer', 'aria-labelledby': 'node-title' });
  element = h('div', { class: 'pipelines' });

  /** @param {(state: string, text: string, title?: string) => void} live */
  constructor(live) {
    this.#live = live;
    this.#detail.addEventListener('close', () => {
      this.#open = undefined;
    });
    this.element.append(
      h(
        'div',
        { class: 'view-head' },
        h('h2', {}, 'Pipelines'),
        h(
          'p',
          { class: 'about' },
          'Connectors fill topics, pipelines turn topics into topics, sinks write them to stores. Dashed: a table that a task holds whole. Choose a box for its details.',
        ),
      ),
      this.#canvas,
      h('details', { class: 'fold' }, h('summary', {}, 'All figures as a table'), this.#table),
      this.#detail,
    );
  }

  async open() {
    this.close();
    this.#live('waiting', 'Connecting …');
    try {
      if (this.#nodes.length === 0) this.#draw(await get('/api/pipelines'));
    } catch (error) {
      const { message, hint } = /** @type {any} */ (error);
      this.#canvas.replaceChildren(
        h('p', { class: 'problem' }, message, h('span', { class: 'hint' }, hint)),
      );
      this.#live('trouble', message, hint);
      return;
    }
    this.#end = follow(
      '/api/pipelines/stream',
      (event, data) => this.#take(event, data),
      (problem) => this.#live('trouble', problem.message, problem.hint),
    );
  }

  /** @param {any} graph */
  #draw({ width, height, nodes, edges }) {
    this.#nodes = nodes;
    const boxes = nodes.map((/** @type {any} */ node) => {
      const box = new Box(node, () => this.#inspect(node));
      this.#boxes.set(node.id, box);
      return box.element;
    });
    const svg = s(
      'svg',
      {
        viewBox: `0 0 ${width} ${height}`,
        class: 'graph',
        role: 'group',
        'aria-label': 'Pipelines',
      },
      s(
        'defs',
        {},
        s(
          'marker',
          {
            id: 'arrow',
            viewBox: '0 0 8 8',
            refX: 7,
            refY: 4,
            markerWidth: 7,
            markerHeight: 7,
            orient: 'auto',
          },
          s('path', { d: 'M0 0 L8 4 L0 8 z', class: 'arrow' }),
        ),
      ),
      ...edges.map((/** @type {any} */ { points, isTable, from, to }) =>
        s('path', {
          d: pathOf(points),
          class: isTable ? 'edge table' : 'edge',
          'marker-end': 'url(#arrow)',
          'data-from': from,
          'data-to': to,
        }),
      ),
      ...boxes,
    );
    svg.style.setProperty('--natural', `${Math.round(width)}px`);
    this.#canvas.replaceChildren(svg);
  }

  /** @param {string} event @param {any} data */
  #take(event, data) {
    if (event === 'problem') return this.#live('trouble', data.detail, data.hint);
    this.#figures = data;
    for (const [id, box] of this.#boxes) box.show(data.nodes[id]);
    this.#fillTable();
    if (this.#open !== undefined) this.#fillDetail();
    const { processes, unreachable, at } = data;
    if (processes === 0) {
      const isSilent = unreachable.length > 0;
      return this.#live(
        'trouble',
        isSilent ? `${unreachable.length} do not answer` : 'No process runs',
        isSilent ? unreachable.join(' ') : 'Start one: reachflow run',
      );
    }
    const missing = unreachable.length === 0 ? '' : `, ${unreachable.length} do not answer`;
    return this.#live(
      unreachable.length === 0 ? 'well' : 'trouble',
      `Live, ${processes} ${processes === 1 ? 'process' : 'processes'}${missing}`,
      `Asked ${age(Date.now() - at)} ago. ${unreachable.join(' ')}`,
    );
  }

  #fillTable() {
    if (!(this.#table.parentElement instanceof HTMLDetailsElement)) return;
    if (!this.#table.parentElement.open) return;
    const rows = this.#nodes.map(({ id, kind, title, subtitle }) => {
      const own = this.#figures.nodes[id] ?? {};
      return [
        KINDS[kind] ?? '',
        `${title}${subtitle === '' ? '' : ` · ${subtitle}`}`,
        kind === 'topic' ? '' : (HEALTH[own.health ?? 'waiting'] ?? ''),
        rate(own.rate),
        count(own.lag),
        span(own.watermarkAge?.newest),
        bytes(own.stateBytes),
        count(own.letters),
      ];
    });
    const head = ['kind', 'name', 'state', 'rate', 'lag', 'watermark age', 'state size', 'in DLQ'];
    const caption = 'Figures of every part';
    this.#table.replaceChildren(
      tableOf(head, rows, { caption, numeric: new Set([3, 4, 5, 6, 7]) }),
    );
  }

  /** @param {any} node */
  #inspect(node) {
    this.#open = node.id;
    this.#fillDetail();
    if (!this.#detail.open) this.#detail.showModal();
  }

  #fillDetail() {
    const node = this.#nodes.find(({ id }) => id === this.#open);
    if (node === undefined) return;
    const own = this.#figures?.nodes[node.id] ?? {};
    const rows = [
      ['State', node.kind === 'topic' ? '' : (HEALTH[own.health ?? 'waiting'] ?? '')],
      ['Tasks', statesOf(own)],
      ['Records per second', rate(own.rate)],
      ['Lag, offsets', own.lag === undefined ? '' : count(own.lag)],
      [
        'Watermark, most advanced task',
        own.watermarkAge === undefined ? '' : `${span(own.watermarkAge.newest)} behind the clock`,
      ],
      [
        'Watermark, least advanced task',
        own.watermarkAge === undefined ? '' : `${span(own.watermarkAge.oldest)} behind the clock`,
      ],
      ['State', own.stateBytes === undefined ? '' : bytes(own.stateBytes)],
      ...Object.entries(own.stores ?? {}).map(([name, { entries, bytes: size }]) => [
        `Store ${name}`,
        `${count(entries)} entries, ${bytes(size)}`,
      ]),
      ['Dead letter queues', own.letters === undefined ? '' : `${count(own.letters)} letters`],
      ['Detail', own.detail ?? ''],
    ].filter(([, value]) => value !== '' && value !== 'no process');
    const known = this.#detail.querySelector('dl');
    const list = h(
      'dl',
      {},
      ...rows.flatMap(([name, value]) => [h('dt', {}, name), h('dd', {}, value)]),
    );
    if (known !== null && this.#detail.dataset['node'] === node.id) {
      known.replaceWith(list);
      return;
    }
    this.#detail.dataset['node'] = node.id;
    this.#detail.replaceChildren(
      h(
        'form',
        { method: 'dialog' },
        h(
          'header',
          {},
          h(
            'div',
            {},
            h('p', { class: 'over' }, KINDS[node.kind] ?? ''),
            h('h2', { id: 'node-title' }, node.title),
          ),
          h('button', { class: 'quiet', 'aria-label': 'Close' }, '✕'),
        ),
        node.subtitle === '' ? null : h('p', { class: 'about' }, node.subtitle),
        list,
        own.letters > 0
          ? h(
              'p',
              {},
              h(
                'a',
                { href: '#letters', click: () => byId('tab-letters').click() },
                'See the dead letters',
              ),
            )
          : null,
      ),
    );
  }

  repaint() {}

  close() {
    this.#end?.();
    this.#end = undefined;
    if (this.#detail.open) this.#detail.close();
  }

  destroy() {
    this.close();
  }
}
