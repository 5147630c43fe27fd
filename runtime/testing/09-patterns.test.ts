import { afterEach, describe, expect, it } from 'vitest';
import type { EventRecorded, WebhookReceived } from '../../schemas/types.ts';
import { pattern } from '../cep/pattern.ts';
import type { PatternMatch } from '../operators/match-api.ts';
import type { TopologyBuilder } from '../topology/api.ts';
import { defineTopology } from '../topology/builder.ts';
import { MINUTE, SECOND, show, shown, T0, webhook } from './samples.ts';
import { type TestDriverOptions, TopologyTestDriver } from './topology-test-driver.ts';

/** A manual in tests, ninth part: patterns of events in event time. */

let driver: TopologyTestDriver;

async function run(declare: (t: TopologyBuilder) => void, options?: TestDriverOptions) {
  driver = await TopologyTestDriver.open(defineTopology('manual', declare), options);
}

afterEach(() => driver.close());

const is = (type: string) => (event: WebhookReceived) => event.event_type === type;

/** Steps as `<step>: <payloads>`, with the seconds it ended at. */
function told({ events, end }: PatternMatch<WebhookReceived, string>): EventRecorded {
  const steps = Object.entries(events).map(([step, taken]) =>
    `${step}: ${taken.map(({ payload }) => payload).join(' ')}`.trim(),
  );
  return shown([...steps, (end - T0) / SECOND]);
}

const DISORDER_MS = 5 * SECOND;

function source(t: TopologyBuilder) {
  return t.stream('webhook.received', { disorderMs: DISORDER_MS, maxAheadMs: 1e12 });
}

/** `<type><number>@<seconds>`, of key `k` unless `<key>/` is before it. */
async function send(...events: string[]): Promise<void> {
  for (const text of events) {
    const [, key = 'k', type = '', payload = '', seconds = ''] =
      /^(?:(\w+)\/)?([a-z]+)(\d*)@(-?\d+)$/.exec(text) ?? [];
    await driver.pipe('webhook.received', key, webhook({ event_type: type, payload }), {
      timestamp: T0 + Number(seconds) * SECOND,
    });
  }
}

/** Event time comes to so many seconds. */
const comeTo = (seconds: number) => driver.advanceWatermark(T0 + seconds * SECOND);

const cartThenPayment = pattern<WebhookReceived>()
  .begin('cart', is('cart'))
  .followedBy('paid', is('paid'))
  .within(10 * MINUTE);

describe('a pattern', () => {
  it('is found once event time has passed its last event, for each key by itself', async () => {
    await run((t) => {
      source(t).match('bought', cartThenPayment).map('told', told).to('event.recorded');
    });
    await send('cart1@0', 'seen@10', 'other/paid9@15', 'paid1@20');
    expect(show(driver)).toEqual([]);
    await send('seen@26');
    expect(show(driver)).toEqual([['cart: 1', 'paid: 1', 20]]);
    expect(driver.entries('bought')).toEqual([]);
  });

  it('takes events in order of event time, not of arrival', async () => {
    await run((t) => {
      source(t).match('bought', cartThenPayment).map('told', told).to('event.recorded');
    });
    await send('paid1@4', 'cart1@1');
    await comeTo(60);
    expect(show(driver)).toEqual([['cart: 1', 'paid: 1', 4]]);
  });

  it('gives the same through any crash, its state read again each time', async () => {
    await run((t) => {
      source(t)
        .match(
          'retried',
          pattern<WebhookReceived>()
            .begin('failed', is('failed'))
            .times(2, 3)
            .greedy()
            .next('ok', is('ok'))
            .within(MINUTE)
            .skipPastLast(),
        )
        .map('told', told)
        .to('event.recorded');
    });
    for (const event of ['failed1@0', 'failed2@1', 'ok1@2', 'failed3@3', 'ok2@4', 'end@90']) {
      await send(event);
      await driver.crash();
    }
    await comeTo(100);
    expect(show(driver)).toEqual([['failed: 1 2', 'ok: 1', 2]]);
  });
});

describe('what does not happen', () => {
  it('is told by notFollowedBy, when the time is over', async () => {
    await run((t) => {
      source(t)
        .match(
          'abandoned-cart',
          pattern<WebhookReceived>()
            .begin('cart', is('cart'))
            .notFollowedBy('paid', is('paid'))
            .within(10 * MINUTE),
        )
        .map('told', told)
        .to('event.recorded');
    });
    await send('a/cart1@0', 'b/cart2@0', 'b/paid2@30');
    await comeTo(599);
    expect(show(driver)).toEqual([]);
    await driver.crash();
    await comeTo(600);
    expect(show(driver)).toEqual([['cart: 1', 600]]);
  });

  it('is told by timedOut, with what was matched until then', async () => {
    await run((t) => {
      const bought = source(t).match('bought', cartThenPayment);
      bought.ignore('only what was not bought is of interest');
      bought.timedOut().map('told', told).to('event.recorded');
    });
    await send('cart1@0', 'cart2@5', 'paid1@20', 'cart3@30');
    await comeTo(629);
    expect(show(driver)).toEqual([]);
    await comeTo(630);
    expect(show(driver)).toEqual([['cart: 3', 'paid:', 630]]);
  });
});

describe('what cannot be taken', () => {
  it('is late, and goes to the DLQ', async () => {
    await run((t) => {
      source(t).match('bought', cartThenPayment).map('told', told).to('event.recorded');
    });
    await send('seen@60', 'cart1@54', 'cart2@55');
    expect(driver.deadLetters().map(({ info }) => info.code)).toEqual(['LATE']);
  });

  it('is late, and goes to late() where that leads somewhere', async () => {
    await run((t) => {
      const bought = source(t).match('bought', cartThenPayment);
      bought.ignore('only what is late is of interest');
      bought
        .late()
        .map('late', ({ payload }) => shown(payload))
        .to('event.recorded');
    });
    await send('seen@60', 'cart1@54');
    expect(show(driver)).toEqual(['1']);
    expect(driver.deadLetters()).toEqual([]);
  });

  it('is one event too many that waits for the watermark: it is dead-lettered', async () => {
    await run((t) => {
      source(t)
        .match('bought', cartThenPayment, { maxWaiting: 2 })
        .ignore('only what it holds is of interest');
    });
    await send('cart1@0', 'cart2@1', 'cart3@2');
    expect(driver.deadLetters().map(({ info }) => info.code)).toEqual(['PATTERN_BUFFER_FULL']);
    await comeTo(60);
    await send('cart4@70');
    expect(driver.deadLetters()).toEqual([]);
  });

  it('is one partial match too many: the earliest is given up, and told', async () => {
    await run((t) => {
      const bought = source(t).match('bought', cartThenPayment, { maxPartialMatches: 2 });
      bought.ignore('only what is given up is of interest');
      bought.abandoned().map('told', told).to('event.recorded');
    });
    await send('cart1@0', 'cart2@1', 'cart3@2');
    await comeTo(60);
    expect(show(driver)).toEqual([['cart: 1', 'paid:', 2]]);
  });

  it('is counted as dropped where nobody takes what was given up', async () => {
    await run((t) => {
      source(t)
        .match('bought', cartThenPayment, { maxPartialMatches: 1 })
        .ignore('only what is given up is of interest');
    });
    await send('cart1@0', 'cart2@1');
    await comeTo(60);
    const { dropped } = driver.counters().steps.get('bought') ?? {};
    expect(dropped).toEqual(new Map([['too many partial matches', 1]]));
  });
});

describe('a pattern that cannot be', () => {
  const nothing = () => pattern<WebhookReceived>().begin('a');

  it('is refused when it is declared', () => {
    const refused = { code: 'TOPOLOGY_INVALID' };
    expect(() => nothing().greedy()).toThrow(expect.objectContaining(refused));
    expect(() => nothing().times(3).oneOrMore()).toThrow(expect.objectContaining(refused));
    expect(() => nothing().optional().notNext('b')).toThrow(expect.objectContaining(refused));
    expect(() => nothing().times(2, 1)).toThrow(expect.objectContaining(refused));
    expect(() => nothing().within(0)).toThrow(expect.objectContaining(refused));
    expect(() =>
      defineTopology('refused', (t) => {
        source(t).match('endless', nothing().notFollowedBy('b')).ignore('it is refused');
      }),
    ).toThrow(expect.objectContaining(refused));
    expect(() =>
      defineTopology('refused', (t) => {
        source(t).match('twice', nothing().next('a')).ignore('it is refused');
      }),
    ).toThrow(expect.objectContaining(refused));
  });
});
