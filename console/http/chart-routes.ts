import { z } from 'zod';
import type { Chart } from '../../dashboards/chart.ts';
import { problemOf } from '../../runtime/http/problem.ts';
import { tenantFor, type Viewer } from '../access.ts';
import { newestEvent } from '../charts/newest.ts';
import { ask, type Question } from '../charts/polls.ts';
import { ranges } from '../charts/ranges.ts';
import { notFound, queryInvalid } from '../problems.ts';
import type { AddRoutes, RouteContext } from './context.ts';
import { parsed } from './parse.ts';

const querySchema = z.strictObject({
  tenant: z.string().max(128).default(''),
  range: z.enum(ranges.map(({ id }) => id)).default('15m'),
  /** Ids with commas between; all when absent. */
  charts: z.string().max(8_192).optional(),
});

/** Tenants in the selector of who may see all. */
const MAX_TENANTS = 1_000;
const TENANTS_SQL = `SELECT tenant_id FROM tenant_counts GROUP BY tenant_id
ORDER BY max(window_start) DESC, tenant_id LIMIT ${MAX_TENANTS}`;

/** Charts, live and once, and whose there are. */
export const chartRoutes: AddRoutes = (app, context) => {
  const { deps, warehouse, streams, viewerOf } = context;
  app.get('/api/tenants', async (request) => {
    const { tenants } = viewerOf(request);
    if (tenants !== '*') return { tenants: [...tenants].toSorted() };
    const { rows } = await warehouse.query(TENANTS_SQL, {});
    return { tenants: rows.map(([tenant]) => String(tenant)).toSorted() };
  });
  app.get('/api/charts/stream', (request, reply) => {
    const { charts, ...about } = questionOf(viewerOf(request), request.query);
    const wanted = chartsOf(deps.charts, charts);
    const stream = streams.begin(request, reply);
    const ends: (() => void)[] = [];
    stream.onClose(() => {
      for (const end of ends.splice(0)) end();
    });
    for (const chart of wanted) ends.push(followed(context, { chart, ...about }, stream.send));
  });
  app.get<{ Params: { id: string } }>('/api/charts/:id', async (request) => {
    const { charts: _all, ...about } = questionOf(viewerOf(request), request.query);
    const { id } = request.params;
    const chart = [newestEvent, ...deps.charts].find((own) => own.id === id);
    if (chart === undefined) throw notFound('such chart', 'GET /api/session lists them.');
    return ask(warehouse, { chart, ...about });
  });
};

/** What cannot be followed is told in the stream: the others go on. */
function followed(
  { polls }: RouteContext,
  question: Question,
  send: (event: string, json: string) => void,
): () => void {
  try {
    return polls.follow(question, send);
  } catch (error) {
    const { code, message: detail, hint } = problemOf(error);
    send('chart', JSON.stringify({ id: question.chart.id, problem: { code, detail, hint } }));
    return () => undefined;
  }
}

function questionOf(viewer: Viewer, query: unknown) {
  const { tenant, range: id, charts } = parsed(querySchema, query);
  const range = ranges.find((own) => own.id === id);
  if (range === undefined) throw queryInvalid(`there is no range ${id}`);
  return { tenant: tenantFor(viewer, tenant), range, charts };
}

function chartsOf(all: readonly Chart[], ids: string | undefined): readonly Chart[] {
  if (ids === undefined) return [newestEvent, ...all];
  const wanted = new Set(ids.split(','));
  return [newestEvent, ...all].filter(({ id }) => wanted.has(id));
}
