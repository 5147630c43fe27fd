import { get, Problem, setToken, token } from './api.js';
import { Dashboards } from './dashboards.js';
import { byId, h } from './dom.js';
import { Letters } from './letters.js';
import { Pipelines } from './pipelines.js';

/** @typedef {Dashboards | Pipelines | Letters} View */

const THEME = 'reachflow.theme';
const main = byId('main');
const tenantSelect = /** @type {HTMLSelectElement} */ (byId('tenant'));
const rangeSelect = /** @type {HTMLSelectElement} */ (byId('range'));

/** What is chosen: in the address, so that it can be shared. */
const chosen = {
  tenant: new URLSearchParams(location.search).get('tenant') ?? '',
  range: new URLSearchParams(location.search).get('range') ?? '15m',
  view: location.hash.slice(1),
};

/** @type {any} */ let session;
/** @type {View | undefined} */ let view;
/** @type {{ id: string, title: string, make: () => View }[]} */ let views = [];

/** @param {string} state @param {string} text @param {string} [title] */
function live(state, text, title = '') {
  const element = byId('live');
  element.dataset['state'] = state;
  element.title = title;
  const shown = byId('live-text');
  if (shown.textContent !== text) shown.textContent = text;
}

function remember() {
  const query = new URLSearchParams();
  if (chosen.tenant !== '') query.set('tenant', chosen.tenant);
  query.set('range', chosen.range);
  history.replaceState(null, '', `?${query}#${chosen.view}`);
}

/** Anything said above the view, until the next one. @param {Problem | undefined} problem */
function notice(problem) {
  const element = byId('notice');
  element.hidden = problem === undefined;
  if (problem === undefined) return;
  element.replaceChildren(problem.message, h('span', { class: 'hint' }, problem.hint));
}

function open() {
  notice(undefined);
  remember();
  void view?.open({ tenant: chosen.tenant, range: chosen.range });
}

/** @param {string} id */
function show(id) {
  const found = views.find((own) => own.id === id) ?? views[0];
  if (found === undefined) return;
  chosen.view = found.id;
  view?.destroy();
  view = found.make();
  for (const tab of byId('tabs').querySelectorAll('button')) {
    const isShown = tab.id === `tab-${found.id}`;
    tab.setAttribute('aria-selected', String(isShown));
    tab.tabIndex = isShown ? 0 : -1;
  }
  const panel = h(
    'div',
    { role: 'tabpanel', id: 'panel', 'aria-labelledby': `tab-${found.id}` },
    view.element,
  );
  main.replaceChildren(panel);
  byId('range-field').hidden = found.id !== 'dashboards';
  document.title = `${found.title} · Reachflow`;
  open();
}

/** Tabs as the ARIA Authoring Practices have them: arrows move, one of them is in the tab order. */
function drawTabs() {
  const tabs = views.map(({ id, title }) =>
    h(
      'button',
      {
        type: 'button',
        role: 'tab',
        id: `tab-${id}`,
        'aria-controls': 'panel',
        click: () => show(id),
      },
      title,
    ),
  );
  byId('tabs').replaceChildren(...tabs);
  byId('tabs').onkeydown = (event) => {
    const at = tabs.findIndex(({ id }) => id === document.activeElement?.id);
    const to = /** @type {Record<string, number>} */ ({
      ArrowRight: at + 1,
      ArrowLeft: at - 1,
      Home: 0,
      End: tabs.length - 1,
    })[event.key];
    if (at < 0 || to === undefined) return;
    event.preventDefault();
    const next = tabs[(to + tabs.length) % tabs.length];
    next?.focus();
    next?.click();
  };
}

/** @param {HTMLSelectElement} select @param {{ value: string, text: string }[]} options @param {string} value */
function fillSelect(select, options, value) {
  select.replaceChildren(
    ...options.map((option) => h('option', { value: option.value }, option.text)),
  );
  select.value = value;
  if (select.selectedIndex < 0) select.selectedIndex = 0;
  return select.value;
}

async function fillTenants() {
  const { tenants } = session;
  const own =
    tenants === '*' ? (await get('/api/tenants').catch(() => ({ tenants: [] }))).tenants : tenants;
  const options = own.map((/** @type {string} */ name) => ({ value: name, text: name }));
  if (tenants === '*') {
    options.unshift({ value: '', text: 'All tenants' });
    // One of the address that has sent nothing yet.
    if (chosen.tenant !== '' && !own.includes(chosen.tenant)) {
      options.push({ value: chosen.tenant, text: chosen.tenant });
    }
  }
  chosen.tenant = fillSelect(tenantSelect, options, chosen.tenant);
}

function drawTheme() {
  const isDark = document.documentElement.dataset['theme'] === 'dark';
  const button = byId('theme');
  button.setAttribute('aria-pressed', String(isDark));
  button.textContent = isDark ? '☀' : '☾';
}

function flipTheme() {
  const { dataset } = document.documentElement;
  const theme = dataset['theme'] === 'dark' ? 'light' : 'dark';
  dataset['theme'] = theme;
  try {
    localStorage.setItem(THEME, theme);
  } catch {
    // It is not remembered then.
  }
  drawTheme();
  view?.repaint();
}

/** Asks for a token. @param {boolean} isWrong whether the last one was refused */
function askForToken(isWrong) {
  view?.destroy();
  view = undefined;
  live('waiting', 'Signed out');
  document.body.classList.add('signed-out');
  const input = h('input', {
    type: 'password',
    id: 'token',
    name: 'token',
    required: true,
    autocomplete: 'off',
    'aria-describedby': 'token-about',
  });
  const form = h(
    'form',
    {
      class: 'card sign-in',
      submit: (/** @type {SubmitEvent} */ event) => {
        event.preventDefault();
        setToken(input.value.trim());
        void begin();
      },
    },
    h('h2', {}, 'Sign in'),
    isWrong ? h('p', { class: 'problem', role: 'alert' }, 'That token is not known here.') : null,
    h('label', { for: 'token' }, 'Access token'),
    input,
    h(
      'p',
      { class: 'about', id: 'token-about' },
      'One of console.viewers in the configuration. It stays in this tab.',
    ),
    h('button', { class: 'primary' }, 'Sign in'),
  );
  main.replaceChildren(form);
  input.focus();
}

async function begin() {
  try {
    const { isOpen } = await get('/api/access');
    if (!isOpen && token() === '') {
      askForToken(false);
      return;
    }
    session = await get('/api/session');
  } catch (error) {
    const problem = error instanceof Problem ? error : new Problem(0, {});
    if (problem.status === 401) {
      askForToken(true);
      return;
    }
    live('trouble', problem.message);
    notice(problem);
    setTimeout(() => void begin(), 2_000);
    return;
  }
  document.body.classList.remove('signed-out');
  const space = byId('namespace');
  space.hidden = session.namespace === '';
  space.textContent = session.namespace;
  byId('leave').hidden = session.isOpen;
  views = [
    { id: 'dashboards', title: 'Dashboards', make: () => new Dashboards(session, live) },
    ...(session.isOperator
      ? [{ id: 'pipelines', title: 'Pipelines', make: () => new Pipelines(live) }]
      : []),
    { id: 'letters', title: 'Dead letters', make: () => new Letters(session, live) },
  ];
  const ranges = session.ranges.map((/** @type {any} */ { id, title }) => ({
    value: id,
    text: title,
  }));
  chosen.range = fillSelect(rangeSelect, ranges, chosen.range);
  await fillTenants();
  drawTabs();
  show(chosen.view);
}

byId('theme').addEventListener('click', flipTheme);
byId('leave').addEventListener('click', () => {
  setToken('');
  askForToken(false);
});
tenantSelect.addEventListener('change', () => {
  chosen.tenant = tenantSelect.value;
  open();
});
rangeSelect.addEventListener('change', () => {
  chosen.range = rangeSelect.value;
  open();
});
// Nobody sees a hidden page: nothing is asked for it.
document.addEventListener('visibilitychange', () => {
  if (document.hidden) view?.close();
  else if (view !== undefined) open();
});
drawTheme();
void begin();
