import fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import { addressSet, clientOf } from './client-address.ts';
import {
  createMemoryPublisher,
  kafkaError,
  type MemoryPublisher,
  NOW,
  SECRET,
  serverDeps,
} from './fixtures.ts';
import { limitsConfigSchema } from './limits-config.ts';
import { signHmac } from './schemes/hmac.ts';
import { buildWebhookServer } from './server.ts';
import { TokenBuckets } from './token-buckets.ts';

describe('token buckets', () => {
  it('never give more than the burst and what flowed in since', () => {
    const shape = { burst: 10, perMs: 0.01 };
    const step = fc.record({ wait: fc.nat(2_000), cost: fc.integer({ min: 1, max: 30 }) });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 50 }), (steps) => {
        let now = 0;
        let taken = 0;
        const buckets = new TokenBuckets(10, () => now);
        for (const { wait, cost } of steps) {
          now += wait;
          const { waitMs } = buckets.look('k', shape, cost);
          if (waitMs === 0) {
            buckets.take('k', shape, cost);
            taken += cost;
            // A cost beyond the bucket's size may run into debt, which the next ones wait for.
            expect(taken).toBeLessThanOrEqual(10 + now * 0.01 + Math.max(0, cost - 10) + 1e-6);
          }
        }
      }),
    );
  });

  it('have as many tokens as they say after as long as they say', () => {
    let now = 0;
    const buckets = new TokenBuckets(10, () => now);
    const shape = { burst: 3, perMs: 0.001 };
    expect(buckets.take('k', shape, 3)).toEqual({ remaining: 0, waitMs: 0, fullMs: 3_000 });
    expect(buckets.look('k', shape, 2).waitMs).toBe(2_000);
    now = 1_999;
    expect(buckets.look('k', shape, 2).waitMs).toBeGreaterThan(0);
    now = 2_000;
    expect(buckets.look('k', shape, 2)).toMatchObject({ remaining: 2, waitMs: 0 });
    now = 0;
    expect(buckets.look('k', shape, 1).waitMs).toBeGreaterThan(0);
  });

  it('are bounded in number: the idlest goes', () => {
    const buckets = new TokenBuckets(100, () => 0);
    const shape = { burst: 1, perMs: 1 };
    buckets.take('mine', shape, 1);
    for (let i = 0; i < 10_000; i += 1) {
      buckets.take(`k-${i}`, shape, 1);
      if (i % 50 === 0) buckets.take('mine', shape, 1);
    }
    expect(buckets.tracked).toBe(100);
    expect(buckets.look('mine', shape, 1).waitMs).toBeGreaterThan(0);
    expect(buckets.look('k-1', shape, 1).waitMs).toBe(0);
  });
});

describe('a client address', () => {
  it.each([
    ['203.0.113.9', '203.0.113.9'],
    ['::ffff:203.0.113.9', '203.0.113.9'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2'],
    ['2001:db8:1:2::', '2001:db8:1:2'],
    ['2001:DB8::1', '2001:db8:0:0'],
    ['::1', '0:0:0:0'],
    ['64:ff9b::192.0.2.33', '64:ff9b:0:0'],
    ['not an address', 'unknown'],
  ])('%s is counted as %s', (address, expected) => {
    expect(clientOf(address)).toBe(expected);
  });

  it('is in a network or is not', () => {
    const isLocal = addressSet(['127.0.0.0/8', '::1/128']);
    expect(['127.0.0.1', '127.8.9.10', '::ffff:127.0.0.1', '::1'].every(isLocal)).toBe(true);
    expect(['128.0.0.1', '::2', 'localhost', ''].some(isLocal)).toBe(false);
  });
});

describe('the section limits', () => {
  it('has tiers by default, and refuses a tier that is not there', () => {
    expect(Object.keys(limitsConfigSchema.parse({}).tiers)).toEqual(['free', 'paid', 'premium']);
    expect(limitsConfigSchema.safeParse({ defaultTier: 'gold' }).success).toBe(false);
    expect(limitsConfigSchema.safeParse({ tenants: { acme: 'gold' } }).success).toBe(false);
  });
});

let publisher: MemoryPublisher;
let now: number;
beforeEach(() => {
  publisher = createMemoryPublisher();
  now = NOW;
});

function server(limits: Record<string, unknown>, trustedProxies: string[] = []) {
  const deps = serverDeps(publisher, {
    limits: limitsConfigSchema.parse({ exemptAddresses: [], ...limits }),
    trustedProxies,
  });
  return buildWebhookServer({ ...deps, clock: () => now });
}

type Server = ReturnType<typeof server>;
let count = 0;

function send(app: Server, body: string, more: { secret?: string; ip?: string; to?: string } = {}) {
  count += 1;
  const { secret = SECRET, ip = '203.0.113.9', to = 'shop' } = more;
  const signing = { deliveryId: `d-${count}`, eventType: 'e', timestampMs: now };
  return app.inject({
    method: 'POST',
    url: `/webhooks/ingest/${to}`,
    headers: signHmac({ secret, body, ...signing }),
    payload: body,
    remoteAddress: ip,
  });
}

describe('the limit of a tenant', () => {
  const limits = {
    tiers: { small: { perHour: 3_600, burst: 5 } },
    tenants: { acme: 'small', big: 'unlimited', a: 'small', b: 'small' },
  };

  it('is a bucket that says how full it is, 429 when it is empty, and fills again', async () => {
    const app = server(limits);
    for (let left = 4; left >= 0; left -= 1) {
      const response = await send(app, '{}');
      expect(response.statusCode).toBe(202);
      expect(response.headers).toMatchObject({
        'ratelimit-policy': '"tenant";q=5;w=5',
        ratelimit: `"tenant";r=${left};t=${5 - left}`,
      });
    }
    const refused = await send(app, '{}');
    expect(refused.json()).toMatchObject({ status: 429, code: 'RATE_LIMITED' });
    expect(refused.headers).toMatchObject({
      'retry-after': '1',
      ratelimit: '"tenant";r=0;t=5',
      'content-type': expect.stringMatching(/^application\/problem\+json/),
    });
    expect(publisher.published).toHaveLength(5);
    now += 1_000;
    expect((await send(app, '{}')).statusCode).toBe(202);
    expect((await send(app, '{}')).statusCode).toBe(429);
  });

  it('counts the events of a batch, and takes one larger than the bucket when that is full', async () => {
    const app = server(limits);
    expect((await send(app, '[1,2,3]')).headers['ratelimit']).toBe('"tenant";r=2;t=3');
    expect((await send(app, '[1,2,3]')).statusCode).toBe(429);
    now += 3_000;
    expect((await send(app, '[1,2,3,4,5,6,7]')).statusCode).toBe(202);
    const refused = await send(app, '{}');
    expect(refused.headers['retry-after']).toBe('3');
    expect(publisher.published).toHaveLength(10);
  });

  it('is each tenant’s own; a batch of several needs room for all', async () => {
    const app = server(limits);
    const batch = (n: number) =>
      JSON.stringify([
        ...Array.from({ length: n }, () => ({ tenant: 'a' })),
        { tenant: 'b' },
        { tenant: 'big' },
      ]);
    expect((await send(app, batch(4), { to: 'lenient' })).statusCode).toBe(202);
    expect((await send(app, batch(4), { to: 'lenient' })).statusCode).toBe(429);
    const b = await send(app, '{"tenant":"b"}', { to: 'lenient' });
    expect(b.headers['ratelimit']).toBe('"tenant";r=3;t=2');
    const big = await send(app, '{"tenant":"big"}', { to: 'lenient' });
    expect(big.statusCode).toBe(202);
    expect(big.headers['ratelimit']).toBeUndefined();
  });

  it('is not touched by events that could not be stored', async () => {
    const app = server(limits);
    publisher.failure = kafkaError('KAFKA_UNAVAILABLE', 'backoff');
    for (let i = 0; i < 20; i += 1) expect((await send(app, '{}')).statusCode).toBe(503);
    publisher.failure = undefined;
    expect((await send(app, '{}')).headers['ratelimit']).toBe('"tenant";r=4;t=1');
  });

  it('is none for tenants without a tier, and the default’s where there is one', async () => {
    const open = server({});
    for (let i = 0; i < 50; i += 1) expect((await send(open, '{}')).statusCode).toBe(202);
    const closed = server({ tiers: { one: { perHour: 1, burst: 1 } }, defaultTier: 'one' });
    expect((await send(closed, '{}')).statusCode).toBe(202);
    const refused = await send(closed, '{}');
    expect(refused.statusCode).toBe(429);
    expect(refused.headers['retry-after']).toBe('3600');
  });
});

describe('requests that are not authentic', () => {
  const limits = { failuresPerMinute: 60, failureBurst: 3 };
  const wrong = { secret: 'not-the-secret-of-anyone' };

  it('are counted by address; authentic ones from there are not refused', async () => {
    const app = server(limits);
    for (let i = 0; i < 3; i += 1) expect((await send(app, '{}', wrong)).statusCode).toBe(401);
    const refused = await send(app, '{}', wrong);
    expect(refused.json()).toMatchObject({ status: 429, code: 'TOO_MANY_FAILURES' });
    expect(refused.headers).toMatchObject({
      'retry-after': '1',
      'ratelimit-policy': '"failures";q=3;w=3',
    });
    expect((await send(app, '{}', { to: 'nobody' })).statusCode).toBe(429);
    expect((await send(app, '{}')).statusCode).toBe(202);
    expect((await send(app, '{}', { ...wrong, ip: '203.0.113.10' })).statusCode).toBe(401);
    now += 1_000;
    expect((await send(app, '{}', wrong)).statusCode).toBe(401);
  });

  it('without any signature are refused before their body is read', async () => {
    const app = server(limits);
    for (let i = 0; i < 3; i += 1) await send(app, '{}', { to: 'nobody' });
    const url = '/webhooks/ingest/shop';
    const remoteAddress = '203.0.113.9';
    const huge = Buffer.alloc(6_000_000);
    const refused = await app.inject({ method: 'POST', url, payload: huge, remoteAddress });
    expect(refused.statusCode).toBe(429);
  });

  it('are not counted where the configuration exempts the client', async () => {
    const app = server({ ...limits, exemptAddresses: ['203.0.113.0/24'] });
    for (let i = 0; i < 20; i += 1) expect((await send(app, '{}', wrong)).statusCode).toBe(401);
  });

  it('have the address that a trusted proxy says, and no other', async () => {
    const url = '/webhooks/ingest/nobody';
    const from = (app: Server, proxy: string, client: string) =>
      app.inject({
        method: 'POST',
        url,
        remoteAddress: proxy,
        headers: { 'x-forwarded-for': client },
      });
    const app = server(limits, ['10.0.0.0/8']);
    for (let i = 0; i < 3; i += 1) await from(app, '10.0.0.1', '198.51.100.7');
    expect((await from(app, '10.0.0.2', '198.51.100.7')).statusCode).toBe(429);
    expect((await from(app, '10.0.0.1', '198.51.100.8')).statusCode).toBe(404);
    expect((await from(app, '10.0.0.1', 'garbage')).statusCode).toBe(404);
    for (let i = 0; i < 3; i += 1) await from(app, '192.0.2.1', `198.51.100.${i}`);
    expect((await from(app, '192.0.2.1', '198.51.100.99')).statusCode).toBe(429);
  });

  it('are counted for many addresses in bounded memory', async () => {
    const app = server({ ...limits, maxTracked: 50 });
    for (let i = 0; i < 200; i += 1) {
      const response = await send(app, '{}', { to: 'nobody', ip: `198.51.${i}.7` });
      expect(response.statusCode).toBe(404);
    }
  });
});
