/** The page of the contact search: asks the API as one types, and shows what it answers. Nothing is ever put in as HTML. */

const API = new URL('api/v1/contacts/search', document.baseURI.replace(/search\/$/, ''));
const WAIT_MS = 150;
const COLUMNS = ['full_name', 'company', 'email', 'phone', 'tags', 'tenant_id'];

const byId = (id) => document.getElementById(id);
const [form, q, tenant, token] = ['search', 'q', 'tenant', 'token'].map(byId);
const [status, found, more] = ['status', 'found', 'more'].map(byId);
const table = document.querySelector('table');

let cursor = null;
let timer;
let running = new AbortController();

token.value = sessionStorage.getItem('reachflow.token') ?? '';

/** A cell, with the stretches of its text marked that were matched. */
function cell(contact, field) {
  const td = document.createElement('td');
  const value = contact[field];
  const text = Array.isArray(value) ? value.join(', ') : (value ?? '');
  let at = 0;
  for (const [start, end] of contact.highlights[field] ?? []) {
    const mark = document.createElement('mark');
    mark.textContent = text.slice(start, end);
    td.append(text.slice(at, start), mark);
    at = end;
  }
  td.append(text.slice(at));
  return td;
}

function row(contact) {
  const tr = document.createElement('tr');
  tr.append(...COLUMNS.map((field) => cell(contact, field)));
  return tr;
}

function show(page, isMore) {
  const rows = page.data.map(row);
  if (isMore) found.append(...rows);
  else found.replaceChildren(...rows);
  cursor = page.pagination.cursor;
  table.hidden = found.children.length === 0;
  more.hidden = cursor === null;
  const count = found.children.length;
  status.textContent =
    count === 0 ? 'Nothing was found.' : `${count}${cursor === null ? '' : '+'} found`;
}

async function search(isMore) {
  running.abort();
  running = new AbortController();
  const { signal } = running;
  const text = q.value.trim();
  if (text === '' || token.value === '') {
    status.textContent = token.value === '' ? 'A token of search.clients is needed.' : '';
    return;
  }
  const url = new URL(API);
  url.searchParams.set('q', text);
  if (tenant.value.trim() !== '') url.searchParams.set('tenant', tenant.value.trim());
  if (isMore && cursor !== null) url.searchParams.set('cursor', cursor);
  try {
    const headers = { authorization: `Bearer ${token.value}` };
    const response = await fetch(url, { headers, signal });
    const body = await response.json();
    if (signal.aborted) return;
    if (response.ok) show(body, isMore);
    else status.textContent = `${body.detail}. ${body.hint}`;
  } catch (error) {
    if (!signal.aborted) status.textContent = `The server does not answer: ${error.message}`;
  }
}

form.addEventListener('input', () => {
  sessionStorage.setItem('reachflow.token', token.value);
  clearTimeout(timer);
  timer = setTimeout(() => void search(false), WAIT_MS);
});
form.addEventListener('submit', (event) => {
  event.preventDefault();
  clearTimeout(timer);
  void search(false);
});
more.addEventListener('click', () => void search(true));
