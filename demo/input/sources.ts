import { randomBytes } from 'node:crypto';
import type { z } from 'zod';
import type { webhookConfigSchema } from '../../connectors/webhook/config.ts';

/** Larger than the largest GitHub example (27 KB); small, so that a body that is too large costs little. */
export const BODY_LIMIT_BYTES = 65_536;

export interface DemoSecrets {
  readonly github: string;
  readonly shop: string;
}

/** New secrets for each run: nothing in the code base signs anything real. */
export function createSecrets(): DemoSecrets {
  return { github: randomBytes(24).toString('hex'), shop: randomBytes(24).toString('hex') };
}

/** The `webhook.sources` that the demo's requests are signed for. */
export function demoSources(
  secrets: DemoSecrets,
): NonNullable<z.input<typeof webhookConfigSchema>['sources']> {
  return {
    github: {
      scheme: 'github',
      secrets: [secrets.github],
      tenant: 'github',
      tenantPointer: '/repository/owner/login',
    },
    shop: {
      scheme: 'hmac',
      secrets: [secrets.shop],
      tenant: 'shop',
      tenantPointer: '/tenant',
      eventTypePointer: '/type',
      occurredAtPointer: '/occurred_at',
      entityPointers: ['/order/id'],
    },
  };
}
