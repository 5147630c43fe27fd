import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { type LoadOptions, loadConfig } from './load.ts';
import { ConfigError } from './problem.ts';

const schema = z.strictObject({
  kafka: z.strictObject({
    brokers: z.array(z.string()).min(1).default(['localhost:9092']),
    lingerMs: z.int().min(0).max(1_000).default(10),
    compression: z.enum(['none', 'gzip']).default('none'),
    namespace: z.string().default(''),
    trace: z.boolean().default(false),
    retries: z.array(z.int()).default([]),
  }),
  store: z.strictObject({
    url: z.string().default('postgres://app@localhost/app').meta({ secret: true }),
    password: z.string().min(8).optional().meta({ secret: true }),
  }),
  sources: z.strictObject({
    hooks: z
      .record(
        z.string().regex(/^[a-z]+$/, 'lower-case letters'),
        z.strictObject({ secrets: z.array(z.string().min(4)).meta({ secret: true }) }),
      )
      .default({}),
  }),
});

describe('loadConfig', () => {
  let cwd: string;
  beforeEach(() => {
    cwd = mkdtempSync(join(tmpdir(), 'reachflow-config-'));
  });
  afterEach(() => rmSync(cwd, { recursive: true }));

  const load = (options: Partial<LoadOptions> = {}) =>
    loadConfig(schema, { env: {}, cwd, ...options });
  const file = (text: string, name = 'reachflow.config.yaml') =>
    writeFileSync(join(cwd, name), text);

  function failure(options: Partial<LoadOptions> = {}): ConfigError {
    try {
      load(options);
    } catch (error) {
      if (error instanceof ConfigError) return error;
      throw error;
    }
    throw new Error('the configuration was accepted');
  }

  it('is the defaults when nothing is given', () => {
    const { config, sources, file: path } = load();
    expect(config.kafka).toEqual({
      brokers: ['localhost:9092'],
      lingerMs: 10,
      compression: 'none',
      namespace: '',
      trace: false,
      retries: [],
    });
    expect(sources['kafka.lingerMs']).toEqual({ kind: 'default' });
    expect(path).toBeUndefined();
  });

  it('takes environment over file over overlay over default, each setting by itself', () => {
    file('kafka:\n  lingerMs: 20\n  compression: gzip\n');
    const { config, sources } = load({
      env: { REACHFLOW_KAFKA_LINGER_MS: '30', HOME: '/root' },
      overlay: { kafka: { lingerMs: 1, compression: 'none', namespace: 'stack' } },
    });
    expect(config.kafka).toMatchObject({
      lingerMs: 30,
      compression: 'gzip',
      namespace: 'stack',
      trace: false,
    });
    expect(sources).toMatchObject({
      'kafka.lingerMs': { kind: 'env', name: 'REACHFLOW_KAFKA_LINGER_MS' },
      'kafka.compression': { kind: 'file', path: 'reachflow.config.yaml' },
      'kafka.namespace': { kind: 'stack' },
      'kafka.trace': { kind: 'default' },
    });
  });

  it('reads lists, numbers, booleans and records from the environment', () => {
    const { config } = load({
      env: {
        REACHFLOW_KAFKA_BROKERS: 'a:1, b:2,',
        REACHFLOW_KAFKA_RETRIES: '1,2',
        REACHFLOW_KAFKA_TRACE: 'TRUE',
        REACHFLOW_SOURCES_HOOKS: '{"gh":{"secrets":["abcd"]}}',
      },
    });
    expect(config.kafka).toMatchObject({ brokers: ['a:1', 'b:2'], retries: [1, 2], trace: true });
    expect(config.sources.hooks).toEqual({ gh: { secrets: ['abcd'] } });
    const json = load({ env: { REACHFLOW_KAFKA_BROKERS: '["a:1"]' } });
    expect(json.config.kafka.brokers).toEqual(['a:1']);
  });

  it('takes an empty variable as unset, except for text', () => {
    file('kafka:\n  lingerMs: 20\n  namespace: file\n');
    const { config } = load({
      env: { REACHFLOW_KAFKA_LINGER_MS: '', REACHFLOW_KAFKA_NAMESPACE: '' },
    });
    expect(config.kafka).toMatchObject({ lingerMs: 20, namespace: '' });
  });

  it('reads JSON, the file named by REACHFLOW_CONFIG, and above it the one named by an option', () => {
    file('{"kafka": {"lingerMs": 1}}', 'one.json');
    file('kafka: {lingerMs: 2}', 'two.yaml');
    const env = { REACHFLOW_CONFIG: 'one.json' };
    expect(load({ env }).config.kafka.lingerMs).toBe(1);
    const named = load({ env, file: 'two.yaml' });
    expect(named.config.kafka.lingerMs).toBe(2);
    expect(named.file).toBe('two.yaml');
  });

  it('accepts a section with nothing in it, and an empty file', () => {
    file('kafka:\n');
    expect(load().config.kafka.lingerMs).toBe(10);
    file('');
    expect(load().config.kafka.lingerMs).toBe(10);
  });

  it('reports everything that is wrong at once, each with source, key, value and expectation', () => {
    file('kafka:\n  lingrMs: 5\n  compression: zip\nkafak: {}\nstore: 7\n');
    const error = failure({
      env: {
        REACHFLOW_KAFKA_LINGER_MS: 'soon',
        REACHFLOW_KAFKA_BROKER: 'a:1',
        REACHFLOW_SOURCES_HOOKS: '{',
      },
    });
    expect(error).toMatchObject({ code: 'CONFIG_INVALID', domain: 'user' });
    expect(error.problems).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ key: 'kafka.lingrMs', nearest: 'kafka.lingerMs' }),
        expect.objectContaining({ key: 'kafak', nearest: 'kafka' }),
        expect.objectContaining({
          source: { kind: 'env', name: 'REACHFLOW_KAFKA_BROKER' },
          nearest: 'REACHFLOW_KAFKA_BROKERS',
        }),
        expect.objectContaining({
          source: { kind: 'env', name: 'REACHFLOW_KAFKA_LINGER_MS' },
          key: 'kafka.lingerMs',
          given: '"soon"',
          message: 'expected number',
        }),
        expect.objectContaining({
          source: { kind: 'file', path: 'reachflow.config.yaml' },
          key: 'kafka.compression',
          given: '"zip"',
          message: 'expected one of "none"|"gzip"',
        }),
        expect.objectContaining({ key: 'store', message: 'expected settings by name' }),
        expect.objectContaining({
          key: 'sources.hooks',
          given: '"[redacted]"',
          message: 'expected an object in JSON',
        }),
      ]),
    );
    expect(error.problems).toHaveLength(7);
    expect(error.message).toContain(
      'REACHFLOW_KAFKA_BROKER: there is no such setting; did you mean REACHFLOW_KAFKA_BROKERS?',
    );
  });

  it('finds unknown names inside a record, and bad keys of it', () => {
    file('sources:\n  hooks:\n    gh: {secrets: [abcd], secrts: 1}\n    G1: {secrets: [abcd]}\n');
    expect(failure().problems).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ key: 'sources.hooks.gh', nearest: 'secrets' }),
        expect.objectContaining({ key: 'sources.hooks.G1', message: 'lower-case letters' }),
      ]),
    );
  });

  it('ignores reserved variables, by name and by prefix', () => {
    const env = { REACHFLOW_DEBUG: '1', REACHFLOW_TEST_LOG: 'info' };
    const reservedEnv = ['REACHFLOW_DEBUG', 'REACHFLOW_TEST_'];
    expect(load({ env, reservedEnv }).config.kafka.lingerMs).toBe(10);
    expect(failure({ env }).problems).toHaveLength(2);
  });

  it.each([
    ['a secret that does not fit', 'store: {password: hunter2}'],
    ['a secret in a record', 'sources: {hooks: {gh: {secrets: [hunter2, 5]}}}'],
    ['a secret by a wrong name', 'sources: {hooks: {gh: {secret: hunter2}}}'],
    ['a secret where a record should be', 'sources: {hooks: hunter2}'],
    ['a secret where a section should be', 'store: hunter2'],
    ['broken YAML around a secret', 'store: {password: "hunter2'],
    ['a name of Object.prototype', 'store: {constructor: hunter2, __proto__: hunter2}'],
  ])('does not show %s', (_, text) => {
    file(text);
    const error = failure();
    expect(JSON.stringify([error.message, error.problems])).not.toContain('hunter2');
  });

  it('names the position of a fault in the file', () => {
    file('kafka:\n  brokers: [a\n');
    expect(failure().message).toMatch(
      /reachflow\.config\.yaml: is not valid YAML or JSON at line 3/,
    );
  });

  it('fails when a named file is missing', () => {
    expect(failure({ file: 'none.yaml' }).message).toContain('none.yaml: there is no such file');
  });
});
