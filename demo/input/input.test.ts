import validator from 'validator';
import { describe, expect, it } from 'vitest';
import { webhookConfigSchema } from '../../connectors/webhook/config.ts';
import { schemes } from '../../connectors/webhook/schemes/index.ts';
import { BROKEN, BROKEN_EVERY, createDeliveries, type Delivery, digestOf } from './deliveries.ts';
import { loadGithubExamples } from './github.ts';
import { Ledger } from './ledger.ts';
import { Pace } from './pace.ts';
import { seededRandom } from './random.ts';
import type { RowChange } from './rows.ts';
import { BODY_LIMIT_BYTES, createSecrets, demoSources } from './sources.ts';
import { BROKEN_EMAILS } from './words.ts';
import { Workload } from './workload.ts';

const NOW = Date.UTC(2026, 0, 2);
const examples = loadGithubExamples();
const secrets = createSecrets();
const sources = webhookConfigSchema.parse({ sources: demoSources(secrets) }).sources;

function take(count: number, seed = 1): Delivery[] {
  const deliveries = createDeliveries({
    random: seededRandom(seed),
    runId: 'run',
    secrets,
    examples,
  });
  return Array.from({ length: count }, () => deliveries.next(NOW));
}

/** What the ingestor's own code says of a delivery. */
function judge(delivery: Delivery): number {
  const source = sources[delivery.source];
  if (source === undefined) return 404;
  if (delivery.body.length > BODY_LIMIT_BYTES) return 413;
  const { scheme } = source;
  const headers = delivery.headers(NOW);
  const verdict = schemes[scheme].verify({
    headers,
    rawBody: delivery.body,
    secrets: source.secrets ?? [],
    nowMs: NOW,
    windowMs: 300_000,
  });
  if (!verdict.ok) return verdict.status;
  try {
    JSON.parse(delivery.body.toString());
    return 202;
  } catch {
    return 400;
  }
}

describe('deliveries', () => {
  const deliveries = take(2_000);

  it('are what they claim to be, by the schemes of the ingestor', () => {
    for (const delivery of deliveries) expect(judge(delivery)).toBe(delivery.expected);
  });

  it('hold real GitHub payloads and orders, of several tenants', () => {
    expect(examples.length).toBeGreaterThan(300);
    expect(Math.max(...examples.map(({ body }) => body.length))).toBeLessThan(BODY_LIMIT_BYTES);
    const valid = deliveries.filter(({ kind }) => kind === 'valid');
    const orders = valid.filter(({ source }) => source === 'shop');
    const tenants = new Set(
      orders.map(({ body }) => (JSON.parse(body.toString()) as { tenant: string }).tenant),
    );
    expect(tenants.size).toBeGreaterThanOrEqual(3);
    expect(orders.length / valid.length).toBeGreaterThan(0.4);
    expect(orders.length / valid.length).toBeLessThan(0.6);
  });

  it('have ids of their own, about a tenth of them sent again', () => {
    expect(new Set(deliveries.map(({ deliveryId }) => deliveryId)).size).toBe(deliveries.length);
    const valid = deliveries.filter(({ kind }) => kind === 'valid');
    const repeated = valid.filter(({ sends }) => sends > 1).length / valid.length;
    expect(repeated).toBeGreaterThan(0.06);
    expect(repeated).toBeLessThan(0.14);
    expect(new Set(valid.map(({ sends }) => sends))).toEqual(new Set([1, 2, 3]));
  });

  it('have every kind of broken one in turn, sent once', () => {
    const kinds = Object.keys(BROKEN);
    const broken = take(BROKEN_EVERY * kinds.length).filter(({ kind }) => kind !== 'valid');
    expect(broken.map(({ kind }) => kind)).toEqual(kinds);
    expect(broken.every(({ sends }) => sends === 1)).toBe(true);
  });

  it('are the same for the same seed', () => {
    const bodies = (seed: number) => take(100, seed).map(({ body }) => digestOf(body));
    expect(bodies(7)).toEqual(bodies(7));
    expect(bodies(7)).not.toEqual(bodies(8));
  });
});

describe('workload', () => {
  const empty = {
    maxId: { companies: 10, contacts: 20, events: 30 },
    liveIds: { companies: [], contacts: [], events: [] },
  };

  function changes(count: number): RowChange[] {
    const workload = new Workload(seededRandom(3), empty);
    return Array.from({ length: count }, () => workload.next(NOW)).flat();
  }

  it('goes on after the highest ids, each once', () => {
    const inserts = changes(3_000).filter(({ op }) => op === 'insert');
    for (const [table, first] of Object.entries({ companies: 11, contacts: 21, events: 31 })) {
      const ids = inserts.filter((change) => change.table === table).map(({ values }) => values[0]);
      expect(ids).toEqual(ids.map((_, i) => first + i));
      expect(ids.length).toBeGreaterThan(50);
    }
  });

  it('inserts, updates and deletes in every table, and never touches a row that is gone', () => {
    const live = new Map<string, Set<unknown>>();
    const seen = new Set<string>();
    for (const { table, op, values, text } of changes(5_000)) {
      seen.add(`${op} ${table}`);
      const rows = live.get(table) ?? new Set();
      live.set(table, rows);
      if (op === 'insert') rows.add(values[0]);
      else if (!text.includes('WHERE company_id')) expect(rows).toContain(values[0]);
      if (op === 'delete') rows.delete(values[0]);
    }
    expect(seen.size).toBe(9);
  });

  it('never deletes the newest row: its id would be given again', () => {
    const newest = { companies: 0, contacts: 0, events: 0 };
    for (const { table, op, values } of changes(5_000)) {
      if (op === 'insert') newest[table] = Number(values[0]);
      if (op === 'delete') expect(values[0]).not.toBe(newest[table]);
    }
  });

  it('writes addresses and phones that are right, unless they are meant to be broken', () => {
    const contacts = changes(5_000).filter(
      ({ table, op }) => table === 'contacts' && op === 'insert',
    );
    const broken = contacts.filter((change) => change.broken);
    expect(broken.length).toBeGreaterThan(20);
    for (const { values, broken: isBroken } of contacts) {
      const [, , name, email, phone] = values as (string | null)[];
      expect(validator.isEmail(email ?? '')).toBe(!isBroken);
      if (isBroken) continue;
      expect(name?.trim()).not.toBe('');
      if (phone !== null) expect(phone).toMatch(/^\+[1-9]\d{6,14}$/);
    }
    for (const email of BROKEN_EMAILS) expect(validator.isEmail((email ?? '').trim())).toBe(false);
  });

  it('breaks events by kind or by time', () => {
    const broken = changes(5_000).filter((change) => change.table === 'events' && change.broken);
    expect(broken.length).toBeGreaterThan(20);
    for (const { values } of broken) {
      const isFuture = (values[4] as Date).getTime() > NOW + 86_400_000;
      expect(isFuture || values[3] === '').toBe(true);
    }
  });
});

describe('Ledger', () => {
  const [delivery] = take(1);
  if (delivery === undefined) throw new Error('no delivery');

  it('remembers what was accepted, with its digest', () => {
    const ledger = new Ledger();
    ledger.answered(delivery, 202, false);
    ledger.answered(delivery, 202, true);
    expect([...ledger.accepted]).toEqual([
      [`${delivery.source}:${delivery.deliveryId}`, digestOf(delivery.body)],
    ]);
    expect(ledger).toMatchObject({ sent: 2, retries: 1, unanswered: 0 });
  });

  it('counts wrong and missing answers', () => {
    const ledger = new Ledger();
    ledger.answered(delivery, 500, false);
    ledger.gaveUp(delivery, 'ECONNREFUSED');
    expect(ledger.kinds.get('valid')).toEqual({ right: 0, wrong: 2 });
    expect(ledger.wrongSamples[0]).toContain('answered 500, expected 202');
    expect(ledger.accepted.size).toBe(0);
  });

  it('forgets the oldest when it is full', () => {
    const ledger = new Ledger(2);
    for (const deliveryId of ['a', 'b', 'c'])
      ledger.answered({ ...delivery, deliveryId }, 202, false);
    expect([...ledger.accepted.keys()]).toEqual([`${delivery.source}:b`, `${delivery.source}:c`]);
    expect(ledger.forgotten).toBe(1);
  });
});

describe('Pace', () => {
  it('keeps a rate whatever the ticks', () => {
    const pace = new Pace(120, 0);
    let sent = 0;
    for (let now = 0; now <= 10_000; now += 17) sent += pace.due(now);
    expect(sent).toBeGreaterThanOrEqual(1_197);
    expect(sent).toBeLessThanOrEqual(1_200);
  });

  it('does not make up for a stall of more than a second', () => {
    const pace = new Pace(100, 0);
    expect(pace.due(60_000)).toBe(100);
  });
});
