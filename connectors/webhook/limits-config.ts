import { z } from 'zod';

/** A token bucket: `burst` at once, refilled evenly by `perHour`. */
const tierSchema = z.strictObject({
  perHour: z.number().positive().describe('Events that flow back into the bucket, per hour.'),
  burst: z.int().min(1).describe('Events that the full bucket holds.'),
});

/** Tier of tenants that are not limited; also the default. */
export const UNLIMITED = 'unlimited';

/** `webhook.limits`. */
export const limitsConfigSchema = z
  .strictObject({
    tiers: z
      .record(z.string().min(1).max(64), tierSchema)
      .default({
        free: { perHour: 1_000, burst: 100 },
        paid: { perHour: 10_000, burst: 1_000 },
        premium: { perHour: 100_000, burst: 10_000 },
      })
      .describe('Token buckets by name; each tenant has one of its own, in each process.'),
    tenants: z
      .record(z.string(), z.string())
      .default({})
      .describe('Tier by tenant. `unlimited` is always there.'),
    defaultTier: z.string().default(UNLIMITED).describe('Tier of every other tenant.'),
    failuresPerMinute: z
      .number()
      .positive()
      .default(60)
      .describe('Requests that are not authentic, per client address and minute; more get 429.'),
    failureBurst: z.int().min(1).default(10).describe('Such requests that may come at once.'),
    exemptAddresses: z
      .array(z.union([z.cidrv4(), z.cidrv6()]))
      .default(['127.0.0.0/8', '::1/128'])
      .describe(
        'Clients whose failures are not counted, as CIDR: this host, where a proxy may be.',
      ),
    maxTracked: z
      .int()
      .min(1)
      .default(20_000)
      .describe('Tenants, and client addresses, that have a bucket at one time; the idlest goes.'),
  })
  .superRefine(({ tiers, tenants, defaultTier }, context) => {
    for (const [path, tier] of [
      [['defaultTier'], defaultTier] as const,
      ...Object.entries(tenants).map(([tenant, each]) => [['tenants', tenant], each] as const),
    ]) {
      if (tier === UNLIMITED || Object.hasOwn(tiers, tier)) continue;
      context.addIssue({ code: 'custom', path: [...path], message: `there is no tier ${tier}` });
    }
  });

export type LimitsConfig = z.infer<typeof limitsConfigSchema>;
