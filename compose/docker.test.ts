import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { z } from 'zod';
import { endpointsOf, parseServices } from './docker.ts';
import { composeDir } from './embedded/layout.ts';
import { embeddedVersions } from './embedded/versions.ts';
import { componentNames } from './types.ts';

const composeFile = z.object({
  name: z.string(),
  services: z.record(
    z.string(),
    z.object({
      image: z.string(),
      ports: z.array(z.string()),
      volumes: z.array(z.string()).default([]),
      profiles: z.array(z.string()).default([]),
      healthcheck: z.object({ test: z.array(z.string()) }),
      mem_limit: z.string(),
      cpus: z.number(),
      restart: z.string(),
    }),
  ),
  volumes: z.record(z.string(), z.unknown()),
});

const file = composeFile.parse(
  parse(readFileSync(join(composeDir, 'docker-compose.yml'), 'utf8'), { merge: true }),
);

describe('docker-compose.yml', () => {
  it('has the engines of the embedded stack, in pinned versions of the same line', () => {
    const engines = Object.entries(file.services).filter(
      ([, { profiles }]) => profiles.length === 0,
    );
    expect(engines.map(([name]) => name).sort()).toEqual([...componentNames].sort());
    const imageOf = (name: string): string => file.services[name]?.image ?? '';
    for (const name of componentNames) expect(imageOf(name)).toMatch(/:\d+(\.\d+)+$/);
    expect(imageOf('kafka')).toContain(embeddedVersions.kafka);
    expect(imageOf('connect')).toContain(embeddedVersions.kafka);
    expect(imageOf('registry')).toContain(embeddedVersions.registry.replace('Apicurio ', ''));
    expect(imageOf('postgres')).toContain(embeddedVersions.postgres);
    expect(imageOf('clickhouse')).toContain(embeddedVersions.clickhouse);
    expect(imageOf('elasticsearch')).toContain(embeddedVersions.elasticsearch);
  });

  it('binds every port to this machine only, checks health and limits memory and CPU', () => {
    for (const service of Object.values(file.services)) {
      for (const port of service.ports) expect(port).toMatch(/^127\.0\.0\.1:/);
      expect(service.healthcheck.test.length).toBeGreaterThan(1);
      expect(service.cpus).toBeGreaterThan(0);
      expect(service.mem_limit).toMatch(/^\d+[mg]$/);
    }
  });

  it('has Grafana and Prometheus beside them, where they are asked for, with files that are there', () => {
    const { grafana, prometheus } = file.services;
    for (const service of [grafana, prometheus]) {
      expect(service?.profiles).toEqual(['dashboards']);
      expect(service?.image).toMatch(/:v?\d+\.\d+\.\d+$/);
      for (const volume of service?.volumes ?? []) {
        expect(existsSync(join(composeDir, volume.split(':')[0] ?? '')), volume).toBe(true);
      }
    }
  });

  it('declares every named volume that a service mounts', () => {
    const mounted = Object.values(file.services)
      .flatMap(({ volumes }) => volumes.map((volume) => volume.split(':')[0] ?? ''))
      .filter((source) => !source.startsWith('.'));
    expect(mounted.sort()).toEqual(Object.keys(file.volumes).sort());
  });
});

const ps = componentNames.map((name, index) => ({
  Service: name,
  State: 'running',
  Publishers: [
    { URL: '', TargetPort: 1, PublishedPort: 0, Protocol: 'tcp' },
    {
      URL: '127.0.0.1',
      TargetPort: [9092, 8080, 8083, 5432, 8123, 9200][index],
      PublishedPort: 30_000 + index,
      Protocol: 'tcp',
    },
  ],
}));

describe('docker compose ps', () => {
  it('is read as lines of objects and as one array', () => {
    const lines = ps.map((service) => JSON.stringify(service)).join('\n');
    expect(parseServices(`${lines}\n`)).toEqual(parseServices(JSON.stringify(ps)));
    expect(parseServices('')).toEqual([]);
    expect(parseServices('{"Service":"kafka","State":"exited","Publishers":null}')).toEqual([
      { Service: 'kafka', State: 'exited', Publishers: [] },
    ]);
  });

  it('gives the endpoints, or names the service whose port is not published', () => {
    const endpoints = endpointsOf(parseServices(JSON.stringify(ps)));
    expect(endpoints.kafka.brokers).toEqual(['127.0.0.1:30000']);
    expect(endpoints.registry.url).toBe('http://127.0.0.1:30001/apis/ccompat/v7');
    expect(endpoints.postgres.url).toBe('postgres://app:app@127.0.0.1:30003/app');
    expect(endpoints.elasticsearch.url).toBe('http://127.0.0.1:30005');
    const without = ps.filter(({ Service }) => Service !== 'connect');
    expect(() => endpointsOf(parseServices(JSON.stringify(without)))).toThrow(/connect/);
  });
});
