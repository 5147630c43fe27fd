import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { describeConfig } from '../runtime/config/describe.ts';
import { appConfigSchema, loadAppConfig, stackOverlay } from './config.ts';

const endpoints = {
  kafka: { brokers: ['127.0.0.1:1'] },
  registry: { url: 'http://127.0.0.1:2' },
  connect: { url: 'http://127.0.0.1:3' },
  postgres: { url: 'postgres://app:app@127.0.0.1:4/app' },
  clickhouse: { url: 'http://127.0.0.1:5', username: 'u', password: 'p', database: 'd' },
  elasticsearch: { url: 'http://127.0.0.1:6' },
};

describe('the configuration', () => {
  let cwd: string;
  beforeEach(() => {
    cwd = mkdtempSync(join(tmpdir(), 'reachflow-app-config-'));
  });
  afterEach(() => rmSync(cwd, { recursive: true }));

  it('has a default for everything that is required', async () => {
    const { config } = await loadAppConfig({ env: {}, cwd });
    expect(config.kafka.brokers).toEqual(['127.0.0.1:9092']);
    expect(config.log.level).toBe('info');
  });

  it('describes every setting', () => {
    const missing = describeConfig(appConfigSchema).filter(({ description }) => description === '');
    expect(missing.map(({ key }) => key)).toEqual([]);
  });

  it('calls every setting secret that is named like one', () => {
    const open = describeConfig(appConfigSchema).filter(
      // A duration is no secret, whatever it is about.
      ({ key, secret }) => /password|secret|token|apiKey/i.test(key) && !/Ms$/.test(key) && !secret,
    );
    expect(open.map(({ key }) => key)).toEqual([]);
  });

  it('does not mind the variables of tests, Docker and debugging', async () => {
    const env = {
      REACHFLOW_TEST_LOG: 'info',
      REACHFLOW_DOCKER_KAFKA_PORT: '9092',
      REACHFLOW_DEBUG: '1',
    };
    await expect(loadAppConfig({ env, cwd })).resolves.toHaveProperty('config');
    await expect(loadAppConfig({ env: { REACHFLOW_KAFKA_BROKER: 'x' }, cwd })).rejects.toThrow(
      'REACHFLOW_KAFKA_BROKERS',
    );
  });

  it('takes the endpoints of a running stack, each section as a whole or not at all', async () => {
    writeFileSync(join(cwd, 'reachflow.config.yaml'), 'clickhouse: {url: "http://prod:8123"}\n');
    const env = { REACHFLOW_KAFKA_BROKERS: 'prod:9092', REACHFLOW_POSTGRES_SCHEMA: 'mine' };
    const { sources } = await loadAppConfig({ env, cwd });
    expect(stackOverlay(endpoints, sources)).toEqual({
      registry: endpoints.registry,
      connect: endpoints.connect,
      postgres: endpoints.postgres,
      elasticsearch: endpoints.elasticsearch,
    });
  });
});
