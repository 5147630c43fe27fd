import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { z } from 'zod';
import { charts } from './charts.ts';
import { CLICKHOUSE_UID, grafanaDashboards, PROMETHEUS_UID, runtimeQueries } from './grafana.ts';

const root = join(import.meta.dirname, '..');

const panelSchema = z.object({
  id: z.int(),
  type: z.enum(['stat', 'timeseries', 'barchart', 'bargauge', 'table']),
  title: z.string().min(1),
  datasource: z.object({ type: z.string(), uid: z.string() }),
  gridPos: z.object({ x: z.int(), y: z.int(), w: z.int(), h: z.int() }),
  targets: z.array(z.object({ refId: z.string(), datasource: z.object({ uid: z.string() }) })),
});
const dashboardSchema = z.object({
  uid: z.string().max(40),
  title: z.string(),
  schemaVersion: z.int(),
  templating: z.object({ list: z.array(z.object({ name: z.string() })) }),
  panels: z.array(panelSchema).min(1),
});

const dashboards = [...grafanaDashboards().values()].map((text) =>
  dashboardSchema.parse(JSON.parse(text)),
);

describe('dashboards of Grafana', () => {
  it('have a panel for each chart, and side by side, none over another', () => {
    expect(dashboards[0]?.panels.map(({ title }) => title)).toEqual(
      charts.map(({ title }) => title),
    );
    for (const { panels } of dashboards) {
      const taken = new Set<string>();
      for (const { gridPos } of panels) {
        expect(gridPos.x + gridPos.w).toBeLessThanOrEqual(24);
        for (let x = gridPos.x; x < gridPos.x + gridPos.w; x += 1) {
          for (let y = gridPos.y; y < gridPos.y + gridPos.h; y += 1) {
            expect(taken.has(`${x} ${y}`)).toBe(false);
            taken.add(`${x} ${y}`);
          }
        }
      }
      expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length);
    }
  });

  it('read the data sources that are provisioned, from where they are mounted', () => {
    const dir = join(root, 'deploy', 'grafana', 'provisioning');
    const source = readFileSync(join(dir, 'datasources', 'reachflow.yml'), 'utf8');
    const { datasources } = parse(source) as { datasources: { uid: string; type: string }[] };
    expect(datasources.map(({ uid }) => uid)).toEqual([CLICKHOUSE_UID, PROMETHEUS_UID]);
    const known = new Map(datasources.map(({ uid, type }) => [uid, type]));
    for (const { datasource, targets } of dashboards.flatMap(({ panels }) => panels)) {
      expect(known.get(datasource.uid)).toBe(datasource.type);
      for (const target of targets) expect(target.datasource.uid).toBe(datasource.uid);
    }
    const provider = parse(readFileSync(join(dir, 'dashboards', 'reachflow.yml'), 'utf8')) as {
      providers: { options: { path: string } }[];
    };
    const compose = readFileSync(join(root, 'compose', 'docker-compose.yml'), 'utf8');
    const path = provider.providers[0]?.options.path ?? '';
    expect(compose).toContain(`../deploy/grafana/dashboards:${path}:ro`);
  });

  it('leave no parameter of the server in a query', () => {
    for (const text of grafanaDashboards().values()) expect(text).not.toMatch(/(?<!\$)\{\w+:\w+/);
  });

  it('ask Prometheus for metrics that there are', () => {
    const sources = globSync('runtime/observability/*-metrics.ts', { cwd: root })
      .map((file) => readFileSync(join(root, file), 'utf8'))
      .join('\n');
    const guide = readFileSync(join(root, 'docs', 'guides', 'observe.md'), 'utf8');
    const names = runtimeQueries.flatMap(([, , promql]) => promql.match(/reachflow_\w+/g) ?? []);
    expect(names).toHaveLength(runtimeQueries.length);
    for (const name of names) expect(`${sources}${guide}`).toContain(name);
  });
});
