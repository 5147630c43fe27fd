import { describe, expect, it } from 'vitest';
import type { TenantThrottled } from '../../schemas/types.ts';
import { createMemoryPublisher, kafkaError, NOW, SECRET, serverDeps } from './fixtures.ts';
import { createLimits } from './limits.ts';
import { limitsConfigSchema } from './limits-config.ts';
import { signHmac } from './schemes/hmac.ts';
import { buildWebhookServer } from './server.ts';
import { ThrottleTable } from './throttles.ts';

const MINUTE = 60_000;

function throttle(change: Partial<TenantThrottled> = {}): TenantThrottled {
  return {
    tenant_id: 'acme',
    limit_per_minute: 60,
    until: NOW + 10 * MINUTE,
    reason: 'Tenant acme had 100 API calls in 50 s.',
    alert_id: 'suspicious_activity:acme:1',
    throttled_at: NOW,
    ...change,
  };
}

/** Limits with a clock that is set, where nobody has a limit of its own but `free`. */
function limited() {
  const state = { now: NOW };
  const clock = () => state.now;
  const table = new ThrottleTable(clock);
  const config = limitsConfigSchema.parse({ tenants: { small: 'free' } });
  const limits = createLimits(config, clock, table);
  /** How many single events of a tenant are taken, of so many. */
  const taken = (tenant: string, events: number) => {
    let accepted = 0;
    for (let event = 0; event < events; event += 1) {
      try {
        limits.takeEvents(new Map([[tenant, 1]]));
        accepted += 1;
      } catch (error) {
        expect(error).toMatchObject({ status: 429 });
      }
    }
    return accepted;
  };
  return { state, table, limits, taken };
}

describe('a throttled tenant', () => {
  it('sends at most what it may, until it is over; then what it may always', () => {
    const { state, table, taken } = limited();
    table.set('acme', throttle());
    expect(taken('acme', 500)).toBe(6);
    expect(taken('other', 500)).toBe(500);
    let accepted = 0;
    for (let second = 0; second < 120; second += 1) {
      state.now += 1_000;
      accepted += taken('acme', 10);
    }
    expect(accepted).toBe(120);
    state.now = NOW + 10 * MINUTE;
    expect(taken('acme', 500)).toBe(500);
  });

  it('is free again at once when an operator says so', () => {
    const { table, taken } = limited();
    table.set('acme', throttle({ limit_per_minute: 0 }));
    expect(taken('acme', 10)).toBe(0);
    table.set('acme', null);
    expect(taken('acme', 10)).toBe(10);
  });

  it('keeps its own limit, too: whatever is less counts', () => {
    const { table, taken } = limited();
    table.set('small', throttle({ tenant_id: 'small', limit_per_minute: 100_000 }));
    expect(taken('small', 500)).toBe(100);
  });

  it('is one whose throttle is not over: old ones of a replay hold nobody back', () => {
    const { table, taken } = limited();
    table.set('acme', throttle({ until: NOW }));
    expect(taken('acme', 100)).toBe(100);
    table.set('acme', throttle());
    table.set('acme', throttle({ until: NOW - 1 }));
    expect(taken('acme', 100)).toBe(100);
  });

  it('gets back what could not be stored', () => {
    const { limits, table, taken } = limited();
    table.set('acme', throttle());
    limits.takeEvents(new Map([['acme', 6]]));
    expect(taken('acme', 1)).toBe(0);
    limits.giveBack(new Map([['acme', 6]]));
    expect(taken('acme', 10)).toBe(6);
  });
});

describe('the answer to a throttled tenant', () => {
  async function send(change: Partial<TenantThrottled>) {
    const table = new ThrottleTable(() => NOW);
    table.set('acme', throttle(change));
    const publisher = createMemoryPublisher();
    const app = buildWebhookServer({ ...serverDeps(publisher), throttles: table });
    const post = (deliveryId: string) => {
      const payload = '{"id":1}';
      const signed = {
        secret: SECRET,
        deliveryId,
        eventType: 'e',
        timestampMs: NOW,
        body: payload,
      };
      const headers = { ...signHmac(signed), 'content-type': 'application/json' };
      return app.inject({ method: 'POST', url: '/webhooks/ingest/shop', headers, payload });
    };
    return { post, publisher, close: () => app.close() };
  }

  it('is 429 with when to come again, what it may send, until when and why', async () => {
    const { post, publisher, close } = await send({ limit_per_minute: 10 });
    expect((await post('1')).statusCode).toBe(202);
    const refused = await post('2');
    expect(refused.statusCode).toBe(429);
    expect(refused.headers['retry-after']).toBe('6');
    expect(refused.headers['content-type']).toContain('application/problem+json');
    expect(refused.json()).toMatchObject({
      code: 'TENANT_THROTTLED',
      detail: expect.stringContaining('had 100 API calls'),
      limit_per_minute: 10,
      throttled_until: new Date(NOW + 10 * MINUTE).toISOString(),
      reason: 'Tenant acme had 100 API calls in 50 s.',
      alert_id: 'suspicious_activity:acme:1',
    });
    expect(publisher.published).toHaveLength(1);
    await close();
  });

  it('says to come again when it is over, where it may send nothing', async () => {
    const { post, publisher, close } = await send({ limit_per_minute: 0, until: NOW + 90_500 });
    const refused = await post('1');
    expect(refused.headers['retry-after']).toBe('91');
    expect(publisher.calls).toBe(0);
    await close();
  });

  it('is not counted against it when the broker fails', async () => {
    const { post, publisher, close } = await send({ limit_per_minute: 10 });
    publisher.failure = kafkaError('KAFKA_UNAVAILABLE', 'backoff');
    expect((await post('1')).statusCode).toBe(503);
    publisher.failure = undefined;
    expect((await post('2')).statusCode).toBe(202);
    await close();
  });
});
