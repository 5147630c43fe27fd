import { get, post } from './api.js';
import { h, say, setText } from './dom.js';
import { age, count, dateTime } from './format.js';
import { letterBody } from './letter.js';

const REFRESH_MS = 3_000;
const LIMIT = 100;

/**
 * @typedef {object} Letter
 * @property {string} dlq
 * @property {number} partition
 * @property {string} offset
 * @property {string} topic
 * @property {string} key
 * @property {string} consumer
 * @property {string} step
 * @property {string} code
 * @property {string} message
 * @property {string} tenant
 * @property {string} fingerprint
 * @property {number} replays
 * @property {number} at
 * @property {'redriven' | 'dropped' | null} resolution
 */

/** @param {Letter} letter */
const nameOf = ({ dlq, partition, offset }) => `${dlq}/${partition}/${offset}`;

/** @param {number} number */
const letterCount = (number) => `${count(number)} ${number === 1 ? 'letter' : 'letters'}`;

/** Dead letters: kinds, a list, one in full, back or away. */
export class Letters {
  #session;
  #live;
  #tenant = '';
  #timer = 0;
  #isOpen = false;
  /** @type {Letter[]} */ #letters = [];
  /** @type {Set<string>} */ #selected = new Set();
  #fingerprint = '';
  #shown = '';
  #kinds = h('div', {
    class: 'scroll kinds',
    tabindex: '0',
    role: 'region',
    'aria-label': 'Kinds of failure',
  });
  #list = h('div', {
    class: 'scroll',
    tabindex: '0',
    role: 'region',
    'aria-label': 'Dead letters',
  });
  #summary = h('p', { class: 'about' });
  #state = h(
    'select',
    { change: () => void this.refresh() },
    h('option', { value: 'open' }, 'to be dealt with'),
    h('option', { value: 'all' }, 'all'),
  );
  #filter = h('p', { class: 'chip', hidden: true });
  #redrive;
  #drop;
  #confirm = h('dialog', { class: 'confirm', 'aria-labelledby': 'confirm-title' });
  #detail = h('dialog', { class: 'drawer wide', 'aria-labelledby': 'letter-title' });
  element = h('div', { class: 'letters' });

  /** @param {any} session @param {(state: string, text: string, title?: string) => void} live */
  constructor(session, live) {
    this.#session = session;
    this.#live = live;
    this.#redrive = this.#button('Redrive', 'primary', () => this.#ask('redrive', this.#choice()));
    this.#drop = this.#button('Drop', 'danger', () => this.#ask('drop', this.#choice()));
    this.element.append(
      h(
        'div',
        { class: 'view-head' },
        h('h2', {}, 'Dead letters'),
        this.#summary,
        h('label', { class: 'field' }, 'Show ', this.#state),
        this.#filter,
      ),
      h('section', { class: 'card', 'aria-label': 'Kinds of failure' }, this.#kinds),
      h(
        'section',
        { class: 'card', 'aria-label': 'Letters' },
        session.isOperator ? h('div', { class: 'actions' }, this.#redrive, this.#drop) : null,
        this.#list,
      ),
      this.#confirm,
      this.#detail,
    );
  }

  /** @param {string} text @param {string} kind @param {() => void} click */
  #button(text, kind, click) {
    return h('button', { type: 'button', class: kind, disabled: true, click }, text);
  }

  /** @param {{ tenant: string }} about */
  open({ tenant }) {
    this.close();
    this.#isOpen = true;
    if (tenant !== this.#tenant) this.#selected.clear();
    this.#tenant = tenant;
    this.#shown = '';
    this.#live('waiting', 'Looking …');
    void this.#loop();
  }

  async #loop() {
    await this.refresh();
    if (this.#isOpen) this.#timer = window.setTimeout(() => void this.#loop(), REFRESH_MS);
  }

  async refresh() {
    const query = new URLSearchParams({
      tenant: this.#tenant,
      state: this.#state.value,
      limit: String(LIMIT),
      ...(this.#fingerprint === '' ? {} : { fingerprint: this.#fingerprint }),
    });
    try {
      const found = await get(`/api/letters?${query}`);
      if (!this.#isOpen) return;
      this.#show(found);
      this.#live('well', `Live, ${letterCount(found.total)}`);
    } catch (error) {
      const { message, hint } = /** @type {any} */ (error);
      this.#live('trouble', message, hint);
      if (this.#shown === '') {
        this.#list.replaceChildren(
          h('p', { class: 'problem' }, message, h('span', { class: 'hint' }, hint ?? '')),
        );
      }
    }
  }

  /** @param {any} found */
  #show({ kinds, letters, total, queues, isCut }) {
    const cut = isCut ? ' Only the newest were looked through.' : '';
    setText(
      this.#summary,
      `${letterCount(total)} in ${count(queues)} queues, kept for 14 days.${cut}${letters.length < total ? ` The newest ${letters.length} are listed.` : ''}`,
    );
    // What is drawn anew loses the focus: only when it is new.
    const shown = JSON.stringify([kinds, letters, this.#fingerprint]);
    if (shown === this.#shown) return;
    this.#shown = shown;
    this.#letters = letters;
    const there = new Set(letters.map(nameOf));
    for (const name of this.#selected) if (!there.has(name)) this.#selected.delete(name);
    const focused = document.activeElement?.id;
    this.#kinds.replaceChildren(this.#kindTable(kinds));
    this.#list.replaceChildren(this.#letterTable());
    this.#selectionChanged();
    if (focused !== undefined && focused !== '') document.getElementById(focused)?.focus();
  }

  /** @param {any[]} kinds */
  #kindTable(kinds) {
    if (kinds.length === 0) {
      return h(
        'p',
        { class: 'empty' },
        'Nothing is wrong: no letters wait.',
        h(
          'span',
          { class: 'hint' },
          'What a pipeline or a sink gives up on comes here, with the reason.',
        ),
      );
    }
    const row = (/** @type {any} */ kind) =>
      h(
        'tr',
        { class: kind.fingerprint === this.#fingerprint ? 'chosen' : '' },
        h('td', { class: 'number' }, count(kind.count)),
        h(
          'td',
          {},
          h(
            'button',
            {
              type: 'button',
              class: 'link code',
              id: `kind-${kind.fingerprint}`,
              'aria-pressed': String(kind.fingerprint === this.#fingerprint),
              'aria-label': `Only ${kind.code} of ${kind.consumer}`,
              click: () => this.#choose(kind),
            },
            kind.code,
          ),
        ),
        h('td', {}, `${kind.consumer} / ${kind.step}`),
        h('td', {}, kind.topic),
        h('td', { class: 'why', title: kind.message }, kind.message),
        h('td', { title: dateTime(kind.lastFailure) }, `${age(Date.now() - kind.lastFailure)} ago`),
        this.#session.isOperator
          ? h(
              'td',
              { class: 'end' },
              h(
                'button',
                {
                  type: 'button',
                  class: 'small',
                  'aria-label': `Redrive all of ${kind.code}`,
                  click: () =>
                    this.#ask('redrive', { fingerprint: kind.fingerprint, letters: kind.count }),
                },
                'Redrive all',
              ),
            )
          : null,
      );
    const head = ['letters', 'code', 'given up by', 'topic', 'for example', 'last'];
    return this.#table(
      'Kinds of failure',
      [...head, ...(this.#session.isOperator ? [''] : [])],
      kinds.map(row),
    );
  }

  /** @param {string} caption @param {string[]} head @param {HTMLElement[]} rows @param {HTMLElement} [first] */
  #table(caption, head, rows, first) {
    return h(
      'table',
      {},
      h('caption', { class: 'hidden' }, caption),
      h(
        'thead',
        {},
        h(
          'tr',
          {},
          first ?? null,
          ...head.map((text) =>
            h('th', { scope: 'col', ...(text === 'letters' ? { class: 'number' } : {}) }, text),
          ),
        ),
      ),
      h('tbody', {}, ...rows),
    );
  }

  #letterTable() {
    if (this.#letters.length === 0) {
      const text =
        this.#state.value === 'open'
          ? 'No letters wait to be dealt with.'
          : 'There are no letters.';
      return h('p', { class: 'empty' }, text);
    }
    const { isOperator } = this.#session;
    const row = (/** @type {Letter} */ letter, /** @type {number} */ i) => {
      const name = nameOf(letter);
      const box = h('input', {
        type: 'checkbox',
        id: `select-${name}`,
        'aria-label': `Select the letter of ${letter.key}`,
        disabled: letter.resolution !== null,
        checked: this.#selected.has(name),
        change: () => {
          if (box.checked) this.#selected.add(name);
          else this.#selected.delete(name);
          this.#selectionChanged();
        },
      });
      return h(
        'tr',
        {},
        isOperator ? h('td', { class: 'box' }, box) : null,
        h('td', { title: dateTime(letter.at) }, `${age(Date.now() - letter.at)} ago`),
        h(
          'td',
          {},
          h(
            'button',
            {
              type: 'button',
              class: 'link code',
              id: `letter-${name}`,
              click: () => void this.#inspect(letter),
              'data-letter': i,
            },
            letter.key === '' ? '(no key)' : letter.key,
          ),
        ),
        h('td', {}, letter.tenant === '' ? '–' : letter.tenant),
        h('td', {}, `${letter.consumer} / ${letter.step}`),
        h('td', { class: 'code' }, letter.code),
        h('td', { class: 'why', title: letter.message }, letter.message),
        h('td', {}, letter.resolution ?? (letter.replays > 0 ? `back ${letter.replays}×` : '')),
      );
    };
    const all = h('input', {
      type: 'checkbox',
      id: 'select-all',
      'aria-label': 'Select all that are listed',
      change: () => this.#selectAll(all.checked),
    });
    const head = ['failed', 'key', 'tenant', 'given up by', 'code', 'why', 'state'];
    const first = isOperator ? h('th', { scope: 'col', class: 'box' }, all) : undefined;
    return this.#table('Dead letters, newest first', head, this.#letters.map(row), first);
  }

  /** @param {boolean} isOn */
  #selectAll(isOn) {
    for (const letter of this.#letters) {
      if (letter.resolution !== null) continue;
      const name = nameOf(letter);
      if (isOn) this.#selected.add(name);
      else this.#selected.delete(name);
      const box = document.getElementById(`select-${name}`);
      if (box instanceof HTMLInputElement) box.checked = isOn;
    }
    this.#selectionChanged();
  }

  #selectionChanged() {
    const { size } = this.#selected;
    for (const [button, verb] of /** @type {const} */ ([
      [this.#redrive, 'Redrive'],
      [this.#drop, 'Drop'],
    ])) {
      button.disabled = size === 0;
      setText(button, size === 0 ? verb : `${verb} ${letterCount(size)}`);
    }
  }

  /** @param {any} kind */
  #choose({ fingerprint, code, consumer }) {
    const isChosen = this.#fingerprint === fingerprint;
    this.#fingerprint = isChosen ? '' : fingerprint;
    this.#filter.hidden = isChosen;
    this.#filter.replaceChildren(
      `Only ${code} of ${consumer} `,
      h(
        'button',
        {
          type: 'button',
          class: 'quiet small',
          'aria-label': 'Show all kinds',
          click: () => this.#choose({ fingerprint: this.#fingerprint, code, consumer }),
        },
        '✕',
      ),
    );
    void this.refresh();
  }

  #choice() {
    const letters = this.#letters
      .filter((letter) => this.#selected.has(nameOf(letter)))
      .map(({ dlq, partition, offset }) => ({ dlq, partition, offset }));
    return { letters };
  }

  /**
   * Asks before anything is done.
   * @param {'redrive' | 'drop'} what
   * @param {any} choice
   */
  #ask(what, choice) {
    const number = typeof choice.letters === 'number' ? choice.letters : choice.letters.length;
    const isAll = choice.fingerprint !== undefined;
    const title = `${what === 'redrive' ? 'Redrive' : 'Drop'} ${isAll ? `all of this kind, about ${letterCount(number)}` : letterCount(number)}?`;
    const about =
      what === 'redrive'
        ? 'Each record goes back to the consumer that gave up on it, and to no other, in the order of its key. Mend first what was wrong: otherwise it comes back.'
        : 'They are marked as dealt with: not listed and not redriven any more. The records themselves stay in the queue until they expire.';
    const go = h(
      'button',
      { type: 'button', class: what === 'redrive' ? 'primary' : 'danger', id: 'confirm-go' },
      what === 'redrive' ? 'Redrive' : 'Drop',
    );
    const problem = h('p', { class: 'problem', hidden: true, role: 'alert' });
    go.addEventListener(
      'click',
      () =>
        void this.#resolve(what, isAll ? { fingerprint: choice.fingerprint } : choice, go, problem),
    );
    this.#confirm.replaceChildren(
      h(
        'form',
        { method: 'dialog' },
        h('h2', { id: 'confirm-title' }, title),
        h('p', {}, about),
        problem,
        h('footer', {}, h('button', { class: 'quiet', autofocus: true }, 'Cancel'), go),
      ),
    );
    this.#confirm.showModal();
  }

  /** @param {string} what @param {any} choice @param {HTMLButtonElement} go @param {HTMLElement} problem */
  async #resolve(what, choice, go, problem) {
    go.disabled = true;
    problem.hidden = true;
    try {
      const { letters, guarded, withoutRecord } = await post(`/api/letters/${what}`, choice);
      this.#confirm.close();
      if (this.#detail.open) this.#detail.close();
      this.#selected.clear();
      const left = [
        guarded > 0 ? `${letterCount(guarded)} came back too often and stay` : '',
        withoutRecord > 0 ? `${letterCount(withoutRecord)} have no record behind them` : '',
      ].filter((text) => text !== '');
      say(
        [`${letterCount(letters)} ${what === 'redrive' ? 'redriven' : 'dropped'}`, ...left].join(
          '; ',
        ),
      );
      await this.refresh();
    } catch (error) {
      const { message, hint } = /** @type {any} */ (error);
      problem.hidden = false;
      problem.replaceChildren(message, h('span', { class: 'hint' }, hint ?? ''));
      go.disabled = false;
    }
  }

  /** @param {Letter} letter */
  async #inspect(letter) {
    const { dlq, partition, offset } = letter;
    const close = h('button', { class: 'quiet', 'aria-label': 'Close' }, '✕');
    const body = h('div', { class: 'letter' }, h('p', { class: 'empty' }, 'Reading …'));
    const canAct = this.#session.isOperator && letter.resolution === null;
    const act = (
      /** @type {'redrive' | 'drop'} */ what,
      /** @type {string} */ text,
      /** @type {string} */ kind,
    ) =>
      h(
        'button',
        {
          type: 'button',
          class: kind,
          click: () => this.#ask(what, { letters: [{ dlq, partition, offset }] }),
        },
        text,
      );
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
            h('p', { class: 'over' }, 'Dead letter'),
            h(
              'h2',
              { id: 'letter-title', class: 'code' },
              letter.key === '' ? '(no key)' : letter.key,
            ),
          ),
          close,
        ),
        body,
        canAct
          ? h('footer', {}, act('drop', 'Drop …', 'danger'), act('redrive', 'Redrive …', 'primary'))
          : null,
      ),
    );
    this.#detail.showModal();
    try {
      body.replaceChildren(
        ...letterBody(await get(`/api/letters/${encodeURIComponent(dlq)}/${partition}/${offset}`)),
      );
    } catch (error) {
      const { message, hint } = /** @type {any} */ (error);
      body.replaceChildren(
        h('p', { class: 'problem' }, message, h('span', { class: 'hint' }, hint ?? '')),
      );
    }
  }

  repaint() {}

  close() {
    this.#isOpen = false;
    clearTimeout(this.#timer);
    for (const dialog of [this.#confirm, this.#detail]) if (dialog.open) dialog.close();
  }

  destroy() {
    this.close();
  }
}
