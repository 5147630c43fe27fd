/** @typedef {string | number | Node | null | undefined | false} Child */

const SVG = 'http://www.w3.org/2000/svg';

/**
 * @param {Element} element
 * @param {Record<string, unknown>} attributes functions listen to the event of that name; false and undefined are left out
 * @param {Child[]} children
 */
function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (typeof value === 'function') element.addEventListener(name, /** @type {any} */ (value));
    else element.setAttribute(name, value === true ? '' : String(value));
  }
  for (const child of children) {
    if (child === null || child === undefined || child === false) continue;
    element.append(child instanceof Node ? child : String(child));
  }
}

/**
 * Makes an element. Text is always text: nothing is parsed as HTML.
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Record<string, unknown>} [attributes]
 * @param {...Child} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  fill(element, attributes, children);
  return element;
}

/**
 * Makes an element of SVG.
 * @template {keyof SVGElementTagNameMap} K
 * @param {K} tag
 * @param {Record<string, unknown>} [attributes]
 * @param {...Child} children
 * @returns {SVGElementTagNameMap[K]}
 */
export function s(tag, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  fill(element, attributes, children);
  return element;
}

/**
 * @param {string} id
 * @returns {HTMLElement}
 */
export function byId(id) {
  const element = document.getElementById(id);
  if (element === null) throw new Error(`the page has no #${id}`);
  return element;
}

/** Sets text only where it changes, so that a selection of it stays. @param {Element} element @param {string} text */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/**
 * A table of texts.
 * @param {readonly string[]} head
 * @param {readonly (readonly Child[])[]} rows
 * @param {{ caption?: string, numeric?: ReadonlySet<number> }} [options]
 */
export function tableOf(head, rows, { caption, numeric = new Set() } = {}) {
  const cell = (/** @type {Child} */ child, /** @type {number} */ i) =>
    h('td', numeric.has(i) ? { class: 'number' } : {}, child);
  return h(
    'table',
    {},
    caption === undefined ? null : h('caption', { class: 'hidden' }, caption),
    h(
      'thead',
      {},
      h(
        'tr',
        {},
        ...head.map((text, i) =>
          h('th', { scope: 'col', ...(numeric.has(i) ? { class: 'number' } : {}) }, text),
        ),
      ),
    ),
    h('tbody', {}, ...rows.map((row) => h('tr', {}, ...row.map(cell)))),
  );
}

/** @param {string} text shown briefly, and read out */
export function say(text) {
  const toast = byId('said');
  toast.textContent = text;
  toast.classList.add('shown');
  clearTimeout(Number(toast.dataset['timer']));
  toast.dataset['timer'] = String(setTimeout(() => toast.classList.remove('shown'), 6_000));
}
