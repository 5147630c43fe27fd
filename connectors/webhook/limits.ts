import { ProblemError } from '../../runtime/http/problem.ts';
import type { TenantThrottled } from '../../schemas/types.ts';
import { addressSet, clientOf } from './client-address.ts';
import type { LimitsConfig } from './limits-config.ts';
import type { Throttles } from './throttles.ts';
import { type BucketLevel, type BucketShape, TokenBuckets } from './token-buckets.ts';

export type RateLimitHeaders = Readonly<Record<string, string>>;

/**
 * Who may send how much, in this process: events by tenant, and requests that are not authentic by client address.
 * Those alone are counted by address: behind one address there may be many senders who do everything right.
 */
export interface Limits {
  /**
   * Takes one token for each event, of all tenants or of none.
   * @param events how many of each tenant.
   * @returns the headers of the answer; none where no tenant has a limit.
   * @throws ProblemError 429 RATE_LIMITED; 429 TENANT_THROTTLED while an alert or an operator holds the tenant back.
   */
  takeEvents(events: ReadonlyMap<string, number>): RateLimitHeaders;
  /** Undoes `takeEvents` for events that could not be stored: that is not their sender's doing. */
  giveBack(events: ReadonlyMap<string, number>): void;
  /** Counts a request that is not authentic. @throws ProblemError 429 TOO_MANY_FAILURES when there are too many. */
  countFailure(address: string): void;
  /** @throws ProblemError 429 TOO_MANY_FAILURES when one more failure would be one too many. Counts nothing. */
  checkFailures(address: string): void;
}

const HOUR_MS = 3_600_000;
const MINUTE_MS = 60_000;

const NO_THROTTLES: Throttles = { of: () => undefined };

/** @param throttles tenants that may send less for now, on top of their own limit. */
export function createLimits(
  config: LimitsConfig,
  clock: () => number,
  throttles: Throttles = NO_THROTTLES,
): Limits {
  const slowed = new TokenBuckets(config.maxTracked, clock);
  const tenants = new TokenBuckets(config.maxTracked, clock);
  const failures = new TokenBuckets(config.maxTracked, clock);
  const isExempt = addressSet(config.exemptAddresses);
  const failureShape = { burst: config.failureBurst, perMs: config.failuresPerMinute / MINUTE_MS };
  const shapes = new Map(
    Object.entries(config.tiers).map(([tier, { burst, perHour }]) => [
      tier,
      { burst, perMs: perHour / HOUR_MS },
    ]),
  );
  const shapeOf = (tenant: string): BucketShape | undefined => {
    const own = Object.hasOwn(config.tenants, tenant) ? config.tenants[tenant] : undefined;
    return shapes.get(own ?? config.defaultTier);
  };
  const check = (address: string): void => {
    if (isExempt(address)) return;
    const level = failures.look(clientOf(address), failureShape, 1);
    if (level.waitMs > 0) throw tooManyFailures(failureShape, level);
  };
  return {
    takeEvents(events) {
      let headers: RateLimitHeaders = {};
      const limited: [string, BucketShape, number][] = [];
      const held: [string, BucketShape, number][] = [];
      for (const [tenant, count] of events) {
        const throttle = throttles.of(tenant);
        if (throttle !== undefined) {
          const bucket = throttleBucket(throttle);
          const wait = slowed.look(bucket.key, bucket.shape, count).waitMs;
          if (wait > 0) throw throttled(throttle, wait, clock());
          held.push([bucket.key, bucket.shape, count]);
        }
        const shape = shapeOf(tenant);
        if (shape === undefined) continue;
        const level = tenants.look(tenant, shape, count);
        if (level.waitMs > 0) throw rateLimited(tenant, shape, level);
        limited.push([tenant, shape, count]);
      }
      for (const [key, shape, count] of held) slowed.take(key, shape, count);
      let least = Number.POSITIVE_INFINITY;
      for (const [tenant, shape, count] of limited) {
        const level = tenants.take(tenant, shape, count);
        if (level.remaining >= least) continue;
        least = level.remaining;
        headers = headersOf('tenant', shape, level);
      }
      return headers;
    },
    giveBack(events) {
      for (const [tenant, count] of events) {
        const throttle = throttles.of(tenant);
        if (throttle !== undefined) {
          const { key, shape } = throttleBucket(throttle);
          slowed.take(key, shape, -count);
        }
        const shape = shapeOf(tenant);
        if (shape !== undefined) tenants.take(tenant, shape, -count);
      }
    },
    checkFailures: check,
    countFailure(address) {
      if (isExempt(address)) return;
      check(address);
      failures.take(clientOf(address), failureShape, 1);
    },
  };
}

/** How many events each tenant has. */
export function countByTenant(
  publications: readonly { readonly value: { readonly tenant_id: string } }[],
): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const { value } of publications) {
    counts.set(value.tenant_id, (counts.get(value.tenant_id) ?? 0) + 1);
  }
  return counts;
}

/**
 * The bucket as a quota (draft-ietf-httpapi-ratelimit-headers-10): `q` tokens in the time `w`, s, that an empty one
 * takes to fill; `r` are left, and in `t` s it will be full.
 */
function headersOf(policy: string, shape: BucketShape, level: BucketLevel): RateLimitHeaders {
  const window = Math.max(1, Math.round(shape.burst / shape.perMs / 1_000));
  return {
    'ratelimit-policy': `"${policy}";q=${shape.burst};w=${window}`,
    ratelimit: `"${policy}";r=${level.remaining};t=${Math.ceil(Math.round(level.fullMs) / 1_000)}`,
  };
}

function secondsOf(ms: number): number {
  return Math.max(1, Math.ceil(Math.round(ms) / 1_000));
}

function rateLimited(tenant: string, shape: BucketShape, level: BucketLevel): ProblemError {
  return new ProblemError(`the tenant ${tenant} has sent more events than its limit allows`, {
    status: 429,
    code: 'RATE_LIMITED',
    hint: 'Send the same delivery again, with the same id, after the time in Retry-After.',
    retryAfterSeconds: secondsOf(level.waitMs),
    headers: headersOf('tenant', shape, level),
  });
}

/** A tenth of a minute's events at once. One that takes none has a bucket that is never full enough: see `throttled`. */
const BURSTS_A_MINUTE = 10;

/** Each throttle has a bucket of its own: the tenant's is as it was when it ends. */
function throttleBucket(throttle: TenantThrottled): { key: string; shape: BucketShape } {
  const { tenant_id, throttled_at, limit_per_minute: limit } = throttle;
  const key = `${tenant_id}\n${throttled_at}`;
  if (limit <= 0) return { key, shape: { burst: 0, perMs: 0 } };
  return {
    key,
    shape: { burst: Math.ceil(limit / BURSTS_A_MINUTE), perMs: limit / MINUTE_MS },
  };
}

function throttled(throttle: TenantThrottled, waitMs: number, now: number): ProblemError {
  const { tenant_id: tenant, limit_per_minute: limit, until, reason, alert_id } = throttle;
  const end = new Date(until).toISOString();
  return new ProblemError(
    `the tenant ${tenant} may send ${limit} events a minute until ${end}: ${reason}`,
    {
      status: 429,
      code: 'TENANT_THROTTLED',
      hint: 'Send the same delivery again, with the same id, after the time in Retry-After.',
      retryAfterSeconds: secondsOf(Math.min(waitMs, until - now)),
      extensions: {
        limit_per_minute: limit,
        throttled_until: end,
        reason,
        ...(alert_id === '' ? {} : { alert_id }),
      },
    },
  );
}

function tooManyFailures(shape: BucketShape, level: BucketLevel): ProblemError {
  return new ProblemError('too many requests from this address were not authentic', {
    status: 429,
    code: 'TOO_MANY_FAILURES',
    hint: "Check the URL, the secret and the sender's clock; authentic requests are not refused.",
    retryAfterSeconds: secondsOf(level.waitMs),
    headers: headersOf('failures', shape, level),
  });
}
