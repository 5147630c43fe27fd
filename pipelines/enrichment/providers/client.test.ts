import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type EnrichmentConfig, enrichmentConfigSchema } from '../config.ts';
import { ProviderClient } from './client.ts';
import { httpProvider, readRetryAfter } from './http.ts';
import { resultFor } from './local/facts.ts';
import { type LocalProvider, startLocalProvider } from './local/server.ts';
import type { Provider } from './provider.ts';
import { readAnswers } from './shapes.ts';

let server: LocalProvider;
beforeEach(async () => {
  server = await startLocalProvider({ key: 'secret' });
});
afterEach(() => server.close());

const defaults = enrichmentConfigSchema.parse({
  attempts: { backoffMs: 1 },
  company: { lingerMs: 5, requestsPerSecond: 10_000 },
});

interface Given {
  readonly company?: Partial<EnrichmentConfig['company']>;
  readonly attempts?: Partial<EnrichmentConfig['attempts']>;
  readonly breaker?: Partial<EnrichmentConfig['breaker']>;
  readonly key?: string;
}

function clientWith({ company, attempts, breaker, key = 'secret' }: Given = {}): ProviderClient {
  const provider = httpProvider({ kind: 'company', url: `${server.url}/company`, key });
  return new ProviderClient(provider, {
    ...{ ...defaults.company, ...company },
    attempts: { ...defaults.attempts, ...attempts },
    breaker: { ...defaults.breaker, ...breaker },
  });
}

const domains = (count: number) => Array.from({ length: count }, (_, n) => `c${n}.example`);
const askAll = (client: ProviderClient, subjects: readonly string[]) =>
  Promise.all(subjects.map((subject) => client.ask(subject)));
const stats = () => server.stats('company');

describe('a client of a provider', () => {
  it('asks in batches, each subject once, and has the same answers every time', async () => {
    const client = clientWith();
    const replies = await askAll(client, [...domains(250), ...domains(250)]);
    expect(stats()).toMatchObject({ requests: 3, largestBatch: 100 });
    expect(new Set(Object.values(stats().subjects))).toEqual(new Set([1]));
    expect(replies.filter(({ shared }) => shared)).toHaveLength(250);
    const outcomes = new Set(replies.map(({ answer }) => answer.outcome));
    expect(outcomes).toEqual(new Set(['found', 'not_found']));
    const again = await clientWith().ask('c1.example');
    expect(again.answer).toEqual(replies[1]?.answer);
  });

  it('asks nobody for what was answered just now', async () => {
    const client = clientWith();
    await client.ask('a.example');
    expect(await client.ask('a.example')).toMatchObject({ shared: true, durationMs: 0 });
    expect(stats().requests).toBe(1);
  });

  it('tries again what may pass, and only so often', async () => {
    server.behave('company', { status: 503 });
    const { answer } = await clientWith().ask('a.example');
    expect(answer).toEqual({ outcome: 'failed', reason: 'it answers 503' });
    expect(stats().requests).toBe(3);
    // A failure is not remembered.
    server.behave('company', {});
    expect((await clientWith().ask('a.example')).answer.outcome).not.toBe('failed');
  });

  it('gives up a provider that never answers', async () => {
    server.behave('company', { delayMs: 'never' });
    const client = clientWith({ company: { timeoutMs: 50 }, attempts: { times: 2 } });
    const { answer } = await client.ask('a.example');
    expect(answer).toEqual({ outcome: 'failed', reason: 'it did not answer in time' });
  });

  it('gives up one that does not heed its signal, after its attempts', async () => {
    let attempts = 0;
    const deaf: Provider = {
      kind: 'company',
      ask: () => {
        attempts += 1;
        return new Promise(() => undefined);
      },
    };
    const { company, breaker } = defaults;
    const options = { ...company, timeoutMs: 20, attempts: defaults.attempts, breaker };
    const { answer } = await new ProviderClient(deaf, options).ask('a.example');
    expect([answer.outcome, attempts]).toEqual(['failed', 3]);
  });

  it('does not repeat what is refused', async () => {
    const { answer } = await clientWith({ key: 'wrong' }).ask('a.example');
    expect(answer).toEqual({ outcome: 'failed', reason: 'it answers 401' });
    expect(stats()).toMatchObject({ requests: 1, answered: 0 });
  });

  it.each([
    ['text', 'its answer cannot be read: it is no JSON'],
    ['shape', 'its answer cannot be read: it has no list of results'],
    ['left-out', 'the answer leaves it out'],
    ['results', 'the answer does not fit: status (invalid_value)'],
  ] as const)('takes %s for no answer, once', async (garbage, reason) => {
    server.behave('company', { garbage });
    const { answer } = await clientWith().ask('a.example');
    expect(answer).toEqual({ outcome: 'failed', reason });
    expect(stats().requests).toBe(1);
  });

  it('waits as long as it is told to when it has asked too often', async () => {
    server.behave('company', { requestsPerSecond: 1 });
    const client = clientWith({ company: { batchSize: 1 }, attempts: { times: 10 } });
    const replies = await askAll(client, domains(3));
    expect(replies.every(({ answer }) => answer.outcome !== 'failed')).toBe(true);
    expect(client.breaker).toBe('closed');
  });

  it('does not wait for one that wants to be left alone for longer than an attempt may wait', async () => {
    server.behave('company', { status: 429, retryAfter: 3_600 });
    const client = clientWith({ attempts: { maxBackoffMs: 10 } });
    const { answer } = await client.ask('a.example');
    expect(answer).toMatchObject({ outcome: 'failed', reason: expect.stringContaining('429') });
    expect(stats().requests).toBe(1);
  });

  it('leaves one alone that fails, probes it, and trusts it again after five successes', async () => {
    server.behave('company', { status: 500 });
    const breaker = { minimumCalls: 4, openMs: 200 };
    const client = clientWith({ attempts: { times: 1 }, company: { batchSize: 1 }, breaker });
    await askAll(client, domains(4));
    expect(client.breaker).toBe('open');
    const { answer } = await client.ask('a.example');
    expect(answer).toMatchObject({ reason: 'it is left alone: too many requests have failed' });
    expect(stats().requests).toBe(4);
    server.behave('company', { delayMs: 20 });
    await expect.poll(() => client.breaker, { timeout: 20_000 }).toBe('half-open');
    for (const subject of domains(5)) {
      expect(client.breaker).toBe('half-open');
      await client.ask(subject);
    }
    expect(client.breaker).toBe('closed');
  });
});

describe('answers', () => {
  it('fail one by one where they do not fit, and say why without a value', () => {
    const good = { ...resultFor('company', 'c1.example'), status: 'found', name: 'C1' };
    const bad = { domain: 'c2.example', status: 'found', name: 'C2', employees: 'many' };
    const subjects = ['c1.example', 'c2.example', 'c3.example'];
    const answers = readAnswers('company', subjects, { results: [bad, good] });
    expect(answers?.get('c1.example')?.outcome).toBe('found');
    expect(answers?.get('c2.example')).toEqual({
      outcome: 'failed',
      reason: 'the answer does not fit: employees (invalid_type)',
    });
    expect(answers?.get('c3.example')?.outcome).toBe('failed');
  });

  it.each([
    ['120', 120_000],
    ['0', 0],
    ['Thu, 01 Jan 1970 00:02:00 GMT', 119_000],
    ['soon', undefined],
    [null, undefined],
  ])('Retry-After %s is %s ms', (header, ms) => {
    expect(readRetryAfter(header, 1_000)).toBe(ms);
  });
});
