import type { WebhookSource } from '../source-config.ts';
import { githubScheme } from './github.ts';
import { hmacScheme } from './hmac.ts';
import type { SignatureScheme } from './scheme.ts';
import { shopifyScheme } from './shopify.ts';
import { slackScheme } from './slack.ts';
import { standardWebhooksScheme } from './standard-webhooks.ts';
import { stripeScheme } from './stripe.ts';

/** Every scheme that a source can name; a new one is a file of its own and a line here. */
export const schemes: Readonly<Record<WebhookSource['scheme'], SignatureScheme>> = {
  hmac: hmacScheme,
  'standard-webhooks': standardWebhooksScheme,
  github: githubScheme,
  stripe: stripeScheme,
  shopify: shopifyScheme,
  slack: slackScheme,
};
