import { describe, expect, it } from 'vitest';
import { charts } from '../dashboards/charts.ts';
import { eventsPipeline } from '../pipelines/events/topology.ts';
import { requireGuarded } from './access.ts';
import { newestEvent } from './charts/newest.ts';
import { boundsOf, ranges } from './charts/ranges.ts';
import { consoleConfigSchema } from './config.ts';
import { placedGraph } from './pipelines/graph.ts';
import { Rates } from './pipelines/rates.ts';

const token = 'a-token-of-enough-characters';

describe('configuration', () => {
  it('lets only who sees all tenants be an operator', () => {
    const viewers = { ops: { tokens: [token], tenants: ['acme'], role: 'operator' } };
    expect(consoleConfigSchema.safeParse({ viewers }).success).toBe(false);
  });

  it('listens on loopback alone while everybody may do everything', () => {
    const open = consoleConfigSchema.parse({ host: '0.0.0.0' });
    expect(() => requireGuarded(open)).toThrow(expect.objectContaining({ code: 'CONSOLE_OPEN' }));
    requireGuarded(consoleConfigSchema.parse({}));
    const viewers = { ops: { tokens: [token], tenants: '*' } };
    requireGuarded(consoleConfigSchema.parse({ host: '0.0.0.0', viewers }));
  });
});

describe('charts', () => {
  // What that leaves is looked at on the real tables: tests/integration/console.integration.test.ts.
  it.each([newestEvent, ...charts])('$id is narrowed to a tenant', ({ sql }) => {
    expect(sql).toMatch(/tenant_id = \{tenant:String\}/);
  });

  it('begin with a whole step, and have room for their points', () => {
    const now = Date.parse('2026-11-22T10:20:30.456Z');
    for (const range of ranges) {
      const { from, to } = boundsOf(range, now);
      expect(from % (range.step * 1_000)).toBe(0);
      expect(to - from).toBeGreaterThanOrEqual(range.seconds * 1_000);
      expect(range.seconds / range.step).toBeLessThanOrEqual(200);
    }
  });
});

describe('rates', () => {
  it('are of the last seconds, and begin anew with their counter', () => {
    const rates = new Rates();
    expect(rates.observe('a', 100, 0)).toBeUndefined();
    expect(rates.observe('a', 300, 1_000)).toBe(200);
    for (let at = 2_000; at <= 20_000; at += 1_000) rates.observe('a', 300, at);
    expect(rates.observe('a', 300, 21_000)).toBe(0);
    expect(rates.observe('a', 5, 22_000)).toBeUndefined();
    expect(rates.observe('a', 15, 23_000)).toBe(10);
    rates.keep(new Set());
    expect(rates.observe('a', 20, 24_000)).toBeUndefined();
  });
});

describe('the graph', () => {
  it('has each part once, in layers from left to right', () => {
    const { nodes, edges, width } = placedGraph({
      connectors: [{ name: 'webhook', topics: ['webhook.received'] }],
      pipelines: [eventsPipeline],
      sinks: [{ name: 'clickhouse', topics: ['event.recorded', 'metric.tenant.count'] }],
    });
    const ids = nodes.map(({ id }) => id);
    expect(new Set(ids).size).toBe(ids.length);
    const at = new Map(nodes.map(({ id, x }) => [id, x]));
    for (const { from, to, points } of edges) {
      expect(at.get(from), `${from} → ${to}`).toBeLessThan(at.get(to) ?? 0);
      expect(points.length).toBeGreaterThan(1);
    }
    expect(ids).toEqual(
      expect.arrayContaining(['connector:webhook', 'task:events.webhooks', 'sink:clickhouse']),
    );
    for (const { x, width: own } of nodes) expect(x + own / 2).toBeLessThanOrEqual(width);
    expect(nodes.find(({ id }) => id === 'task:events.webhooks')?.stores).toEqual(['seen']);
  });
});
