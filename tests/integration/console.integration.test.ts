import type { Page } from 'playwright-core';
import {
  afterAll,
  beforeAll,
  describe,
  expect,
  it,
  onTestFinished,
  type TestContext,
} from 'vitest';
import { openPage, startBrowser } from '../support/console/browser.ts';
import {
  ACME,
  type Installation,
  LETTER_QUEUE,
  OPERATOR,
  startInstallation,
} from '../support/console/installation.ts';
import { eventually } from '../support/kafka.ts';

let own: Installation;
beforeAll(async () => {
  own = await startInstallation();
});
afterAll(() => own?.close());

interface Answer {
  readonly id: string;
  readonly rows?: readonly (readonly unknown[])[];
  readonly problem?: { readonly code: string };
}

async function get<T>(path: string, token: string): Promise<{ status: number; body: T }> {
  const headers = { authorization: `Bearer ${token}` };
  const response = await fetch(`${own.url}${path}`, { headers });
  return { status: response.status, body: (await response.json()) as T };
}

async function post(path: string, token: string, body: unknown) {
  const response = await fetch(`${own.url}${path}`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  return { status: response.status, body: (await response.json()) as { letters?: number } };
}

/** Events of a stream until `isDone` says so of one. */
async function streamed(
  path: string,
  token: string,
  isDone: (event: string, data: string) => boolean,
): Promise<void> {
  const ending = new AbortController();
  const headers = { authorization: `Bearer ${token}` };
  const response = await fetch(`${own.url}${path}`, { headers, signal: ending.signal });
  let rest = '';
  for await (const chunk of response.body?.pipeThrough(new TextDecoderStream()) ?? []) {
    const parts = (rest + chunk).split('\n\n');
    rest = parts.pop() ?? '';
    for (const part of parts) {
      const [, event = '', data = ''] = /^event: (.*)\ndata: (.*)$/.exec(part) ?? [];
      if (event === '' || !isDone(event, data)) continue;
      ending.abort();
      return;
    }
  }
  throw new Error(`${path} ended`);
}

describe('charts', () => {
  it('say of each tenant what its rows say, and of nobody nothing', async () => {
    const { body: session } = await get<{
      charts: { id: string; isThere: boolean; kind: string }[];
    }>('/api/session', OPERATOR);
    for (const { id, isThere, kind } of session.charts) {
      if (!isThere) continue;
      const of = async (tenant: string) =>
        (await get<Answer>(`/api/charts/${id}?tenant=${tenant}&range=1h`, OPERATOR)).body;
      expect((await of('')).problem, id).toBeUndefined();
      const { rows = [], problem } = await of('nobody');
      expect(problem, id).toBeUndefined();
      if (kind === 'number') expect(Number(rows[0]?.[0] ?? 0), id).toBe(0);
      else expect(rows, id).toEqual([]);
    }
    for (const [tenant, token] of [
      ['acme', ACME],
      ['globex', OPERATOR],
    ] as const) {
      const { body } = await get<Answer>(`/api/charts/events?tenant=${tenant}`, token);
      expect(body.rows).toEqual([[5]]);
    }
    expect((await get('/api/charts/events?tenant=globex', ACME)).status).toBe(403);
  });

  it('stay up to date in a stream, once asked for by all who look', async () => {
    const seen: number[] = [];
    const stream = streamed('/api/charts/stream?tenant=acme&charts=events', ACME, (event, data) => {
      const { id, rows } = JSON.parse(data) as Answer;
      if (event !== 'chart' || id !== 'events') return false;
      const value = Number(rows?.[0]?.[0]);
      if (seen.length === 0) void own.send('acme');
      seen.push(value);
      return seen.length > 1;
    });
    await stream;
    expect(seen).toEqual([5, 6]);
  });
});

describe('the pipelines', () => {
  it('have rates, lag, watermarks and state of the process that runs', async () => {
    await streamed('/api/pipelines/stream', OPERATOR, (event, data) => {
      if (event !== 'figures') return false;
      const { nodes } = JSON.parse(data) as { nodes: Record<string, Record<string, unknown>> };
      const task = nodes['task:events.webhooks'];
      const sink = nodes['sink:clickhouse'];
      return (
        task?.['health'] === 'well' &&
        typeof task['rate'] === 'number' &&
        Number(task['stateBytes']) > 0 &&
        task['watermarkAge'] !== undefined &&
        task['lag'] !== undefined &&
        sink?.['health'] === 'well'
      );
    });
  });
});

describe('dead letters', { timeout: 300_000 }, () => {
  interface List {
    readonly total: number;
    readonly letters: readonly { offset: string; partition: number; key: string }[];
  }

  it('are seen by their tenant, sent back by operators, and delivered then', async () => {
    const [acmeEvent = '', globexEvent = ''] = await own.letters();
    const all = await get<List>('/api/letters', OPERATOR);
    expect(all.body.letters.map(({ key }) => key).toSorted()).toEqual([
      'acme:letter',
      'globex:letter',
    ]);
    const acme = await get<List>('/api/letters', ACME);
    expect(acme.body).toMatchObject({ total: 1, letters: [{ key: 'acme:letter' }] });
    const narrowed = await get<List>('/api/letters?tenant=globex', ACME);
    expect(narrowed.body.total).toBe(0);
    const [letter] = acme.body.letters;
    const place = { dlq: LETTER_QUEUE, partition: letter?.partition, offset: letter?.offset };
    const other = all.body.letters.find(({ key }) => key === 'globex:letter');
    const path = (of: typeof letter) =>
      `/api/letters/${LETTER_QUEUE}/${of?.partition}/${of?.offset}`;
    expect((await get(path(letter), ACME)).body).toMatchObject({
      ...{ code: 'BROKEN', topic: 'webhook.received', value: { tenant_id: 'acme' } },
    });
    expect((await get(path(other), ACME)).status).toBe(404);
    expect((await post('/api/letters/redrive', ACME, { letters: [place] })).status).toBe(403);
    const sent = await post('/api/letters/redrive', OPERATOR, { letters: [place] });
    expect(sent).toMatchObject({ status: 200, body: { letters: 1 } });
    const isStored = async (id: string) => {
      const sql = `SELECT count() AS found FROM events WHERE event_id = '${id}'`;
      const [row] = await own.rows<{ found: number }>(sql);
      return row?.found === 1;
    };
    await eventually('the event is in ClickHouse', () => isStored(acmeEvent));
    expect(await isStored(globexEvent)).toBe(false);
    // Once: what was sent is not sent again.
    const again = await post('/api/letters/redrive', OPERATOR, { letters: [place] });
    expect(again.body.letters).toBe(0);
    const place2 = { dlq: LETTER_QUEUE, partition: other?.partition, offset: other?.offset };
    const dropped = await post('/api/letters/drop', OPERATOR, { letters: [place2] });
    expect(dropped.body.letters).toBe(1);
    expect((await get<List>('/api/letters', OPERATOR)).body.total).toBe(0);
    expect((await get<List>('/api/letters?state=all', OPERATOR)).body.total).toBe(2);
  });
});

describe('in a browser', { timeout: 300_000 }, () => {
  let browser: Awaited<ReturnType<typeof startBrowser>>;
  beforeAll(async () => {
    browser = await startBrowser();
  });
  afterAll(async () => {
    if (browser !== undefined && !('missing' in browser)) await browser.close();
  });

  /** A page that somebody has signed in to by keyboard. */
  async function signedIn(context: TestContext, token: string) {
    if ('missing' in browser) return context.skip(browser.missing);
    const watched = await openPage(browser, own.url);
    onTestFinished(() => watched.context.close());
    const { page } = watched;
    await page.locator('#token:focus').waitFor();
    await page.keyboard.type(token);
    await page.keyboard.press('Enter');
    await page.locator('#tab-dashboards[aria-selected=true]').waitFor();
    return watched;
  }

  const figure = (page: Page) => page.locator('[data-chart=events] output');
  const shown = (page: Page, events: number) =>
    figure(page)
      .filter({ hasText: new RegExp(`^${events}$`) })
      .waitFor();
  const counted = async (tenant: string) => {
    const [row] = await own.rows<{ events: number }>(
      `SELECT count() AS events FROM events FINAL WHERE tenant_id = '${tenant}' AND occurred_at > now() - 600`,
    );
    return row?.events ?? 0;
  };

  it('draws what queries say, of the tenant that is chosen, in the colours that are', async (test) => {
    const { page, troubles } = await signedIn(test, OPERATOR);
    for (const tenant of ['acme', 'globex']) {
      await page.locator('#tenant').selectOption(tenant);
      const expected = await counted(tenant);
      await shown(page, expected);
      // The lines as numbers: every step of them together is as many events.
      const card = page.locator('[data-chart=events-by-source]');
      await card.locator('canvas').waitFor();
      await card.getByRole('button', { name: 'as a table' }).press('Enter');
      const values = await card.locator('tbody td:last-child').allTextContents();
      expect(values.reduce((sum, text) => sum + Number(text), 0)).toBe(expected);
      await card.getByRole('button', { name: 'as a table' }).press('Enter');
    }
    const before = await counted('globex');
    await own.send('globex');
    await shown(page, before + 1);
    await page.locator('#theme').press('Enter');
    await page.reload();
    await figure(page).waitFor();
    expect(await page.locator('html').getAttribute('data-theme')).toBe('dark');
    expect(await page.locator('#tenant').inputValue()).toBe('globex');
    expect(troubles).toEqual([]);
  });

  it('shows pipelines and deals with letters by keyboard alone', async (test) => {
    const [acmeEvent = ''] = await own.letters();
    const { page, troubles } = await signedIn(test, OPERATOR);
    await page.keyboard.press('Escape');
    await page.locator('#tab-dashboards').focus();
    await page.keyboard.press('ArrowRight');
    const task = page.locator('[data-node="task:events.webhooks"]');
    await page.locator('[data-node="task:events.webhooks"][data-health=well]').waitFor();
    await task.press('Enter');
    await page.locator('dialog[open] dt', { hasText: 'Store seen' }).waitFor();
    await page.keyboard.press('Escape');
    await page.locator('dialog[open]').waitFor({ state: 'detached' });
    await page.locator('#tab-pipelines').focus();
    await page.keyboard.press('ArrowRight');
    const letter = page.getByRole('button', { name: 'acme:letter' });
    await letter.press('Enter');
    const dialog = page.locator('dialog.drawer[open]');
    await dialog.getByText('it is BROKEN').waitFor();
    await dialog.locator('pre', { hasText: '"tenant_id": "acme"' }).waitFor();
    await page.keyboard.press('Escape');
    await page.getByRole('checkbox', { name: 'Select the letter of acme:letter' }).press('Space');
    await page.getByRole('button', { name: 'Redrive 1 letter' }).press('Enter');
    const confirm = page.locator('dialog.confirm[open]');
    await confirm.getByText('Redrive 1 letter?').waitFor();
    // Cancel comes first: Enter alone does nothing.
    await page.keyboard.press('Tab');
    await page.keyboard.press('Enter');
    await page.locator('#said', { hasText: '1 letter redriven' }).waitFor();
    await letter.waitFor({ state: 'detached' });
    await page.getByRole('button', { name: 'globex:letter' }).waitFor();
    await eventually('the event is in ClickHouse', async () => {
      const sql = `SELECT count() AS found FROM events WHERE event_id = '${acmeEvent}'`;
      return (await own.rows<{ found: number }>(sql))[0]?.found === 1;
    });
    expect(troubles).toEqual([]);
  });

  it('shows a tenant its own data, and that there is no more', async (test) => {
    const { page, context, troubles } = await signedIn(test, ACME);
    await shown(page, await counted('acme'));
    expect(await page.locator('#tenant option').allTextContents()).toEqual(['acme']);
    expect(await page.getByRole('tab').allTextContents()).toEqual(['Dashboards', 'Dead letters']);
    await page.locator('#tab-letters').press('Enter');
    await page.locator('#live[data-state=well]', { hasText: 'letter' }).waitFor();
    expect(await page.locator('body').textContent()).not.toContain('globex');
    expect(await page.getByRole('button', { name: 'Redrive' }).count()).toBe(0);
    // Nor by an address that somebody else has made.
    await page.goto(`${own.url}/?tenant=globex#dashboards`);
    await figure(page).waitFor();
    expect(await page.locator('#tenant').inputValue()).toBe('acme');
    const headers = { authorization: `Bearer ${ACME}` };
    const refused = await context.request.get(`${own.url}/api/charts/events?tenant=globex`, {
      headers,
    });
    expect(refused.status()).toBe(403);
    expect(troubles).toEqual([]);
  });
});
