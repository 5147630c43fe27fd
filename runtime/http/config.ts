import { z } from 'zod';

/** Settings that every server of long-lived connections with bearer tokens has. @param port when none is set. */
export function connectionServerFields(port: number) {
  return {
    host: z.string().min(1).default('127.0.0.1').describe('Address to listen on; 0.0.0.0 for all.'),
    port: z
      .int()
      .min(0)
      .max(65_535)
      .default(port)
      .describe('Port to listen on; 0 takes a free one.'),
    maxConnections: z
      .int()
      .min(1)
      .default(12_000)
      .describe('Open connections of a process; more are refused. Each is a file descriptor.'),
    allowQueryAuth: z
      .boolean()
      .default(false)
      .describe(
        'Take the token from ?access_token= too, for browsers; proxies may log it, so give such tokens little.',
      ),
  };
}
