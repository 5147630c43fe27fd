import { createRequire } from 'node:module';
import { z } from 'zod';
import type { Random } from './random.ts';

/** What GitHub really sends, collected by the Octokit project (npm `@octokit/webhooks-examples`). */
export interface GithubExample {
  readonly event: string;
  readonly body: Buffer;
}

const examplesSchema = z.array(
  z.object({ name: z.string(), examples: z.array(z.record(z.string(), z.unknown())) }),
);

/** All payloads of github.com, some 300, as JSON bytes (3 MB). */
export function loadGithubExamples(): readonly GithubExample[] {
  const require = createRequire(import.meta.url);
  const given: unknown = require('@octokit/webhooks-examples');
  return examplesSchema
    .parse(given)
    .flatMap(({ name, examples }) =>
      examples.map((example) => ({ event: name, body: Buffer.from(JSON.stringify(example)) })),
    );
}

/** Draws from the examples: first a kind of event, then one of its payloads, so that rare kinds show up too. */
export function createGithub(
  random: Random,
  examples: readonly GithubExample[],
): { next(): GithubExample } {
  const byEvent = [...Map.groupBy(examples, ({ event }) => event).values()];
  return { next: () => random.pick(random.pick(byEvent)) };
}
