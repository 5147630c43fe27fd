import { requireOperator } from '../access.ts';
import { placedGraph } from '../pipelines/graph.ts';
import type { AddRoutes } from './context.ts';

/** The graph, and its figures live. For operators: it is about all tenants. */
export const pipelineRoutes: AddRoutes = (app, { deps, watch, streams, viewerOf }) => {
  const graph = placedGraph(deps.parts);
  app.get('/api/pipelines', async (request) => {
    requireOperator(viewerOf(request));
    return graph;
  });
  app.get('/api/pipelines/stream', (request, reply) => {
    requireOperator(viewerOf(request));
    const stream = streams.begin(request, reply);
    stream.onClose(watch.follow(stream.send));
  });
};
