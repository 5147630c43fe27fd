import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { z } from 'zod';
import { createMetrics } from './metrics.ts';

const GUIDE = 'docs/guides/observe.md';

function repositoryFile(path: string): string {
  return readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8');
}

/** Strict, as Prometheus reads rules: an unknown key is an error there, too. */
const rulesSchema = z.strictObject({
  groups: z.array(
    z.strictObject({
      name: z.string(),
      rules: z.array(
        z.strictObject({
          alert: z.string().regex(/^Reachflow[A-Za-z]+$/),
          expr: z.string(),
          for: z.string().regex(/^\d+[smh]$/),
          labels: z.strictObject({ severity: z.enum(['critical', 'warning']) }),
          annotations: z.strictObject({ summary: z.string().min(10), runbook: z.string() }),
        }),
      ),
    }),
  ),
});

const { groups } = rulesSchema.parse(parse(repositoryFile('deploy/prometheus/alerts.yml')));
const rules = groups.flatMap((group) => group.rules);

/** What the guide's headings are linked as. */
const anchors = [...repositoryFile(GUIDE).matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) =>
  heading
    .toLowerCase()
    .replaceAll(/[^\w\s-]/g, '')
    .replaceAll(/\s/g, '-'),
);

interface Metric {
  readonly type: string;
  readonly labels: readonly string[];
}

/** Of the registry, as a scrape shows it: types from the text, label names from the definitions. */
async function registered(): Promise<Map<string, Metric>> {
  const { registry } = createMetrics({ version: '1' });
  const types = [...(await registry.metrics()).matchAll(/^# TYPE (\S+) (\S+)$/gm)];
  return new Map(
    types.map(([, name = '', type = '']) => {
      // prom-client keeps them, but its types do not say so.
      const metric = registry.getSingleMetric(name) as { readonly labelNames?: string[] };
      return [name, { type, labels: metric.labelNames ?? [] }];
    }),
  );
}

/** Metrics that an expression names, with the labels that it selects by. */
function selectorsOf(expr: string): { name: string; labels: string[] }[] {
  return [...expr.matchAll(/\b((?:reachflow|nodejs|process)_\w+)(?:\{([^}]*)\})?/g)].map(
    ([, name = '', selector = '']) => ({
      name,
      labels: [...selector.matchAll(/(\w+)\s*(?:=~|!~|!=|=)/g)].map(([, label = '']) => label),
    }),
  );
}

describe('alert rules', () => {
  it('are there, each name once', () => {
    const names = rules.map(({ alert }) => alert);
    expect(names.length).toBeGreaterThanOrEqual(10);
    expect(new Set(names).size).toBe(names.length);
  });

  it.each(rules)('$alert selects metrics and labels that we have', async ({ expr }) => {
    const known = await registered();
    const used = selectorsOf(expr);
    expect(used).not.toEqual([]);
    for (const { name, labels } of used) {
      const isBucket = name.endsWith('_bucket');
      const metric = known.get(isBucket ? name.slice(0, -'_bucket'.length) : name);
      expect(metric, `there is no metric ${name}`).toBeDefined();
      expect(metric?.type === 'histogram', `${name} is a histogram`).toBe(isBucket);
      for (const label of labels) expect(metric?.labels, name).toContain(label);
    }
    const rated = [...expr.matchAll(/\b(?:rate|increase)\((\w+)/g)].map(([, name = '']) => name);
    for (const name of rated) expect(name, 'only counters have a rate').toMatch(/_(total|bucket)$/);
    const sloped = [...expr.matchAll(/\b(?:deriv|delta|changes)\((\w+)/g)].map(
      ([, name = '']) => name,
    );
    for (const name of sloped) expect(known.get(name)?.type, name).toBe('gauge');
  });

  it.each(rules)('$alert groups by, and shows, labels that its metrics have', async (rule) => {
    const known = await registered();
    const labels = new Set(['le', 'instance']);
    for (const { name } of selectorsOf(rule.expr)) {
      for (const label of known.get(name.replace(/_bucket$/, ''))?.labels ?? []) labels.add(label);
    }
    const grouped = [...rule.expr.matchAll(/\b(?:by|on) \(([^)]*)\)/g)].flatMap(([, list = '']) =>
      list.split(',').map((label) => label.trim()),
    );
    const shown = [...rule.annotations.summary.matchAll(/\$labels\.(\w+)/g)].map(
      ([, label = '']) => label,
    );
    for (const label of [...grouped, ...shown]) expect([...labels]).toContain(label);
    for (const label of shown) expect(grouped, 'kept by the expression').toContain(label);
  });

  it.each(rules)('$alert has a runbook in the guide', ({ annotations }) => {
    const [file, anchor] = annotations.runbook.split('#');
    expect(file).toBe(GUIDE);
    expect(anchors).toContain(anchor);
  });
});
