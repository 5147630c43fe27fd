import type { WebhookSource } from '../config.ts';
import { githubScheme } from './github.ts';
import { hmacScheme } from './hmac.ts';
import type { SignatureScheme } from './scheme.ts';

/** Every scheme that a source can name; a new one is a file of its own and a line here. */
export const schemes: Readonly<Record<WebhookSource['scheme'], SignatureScheme>> = {
  hmac: hmacScheme,
  github: githubScheme,
};
