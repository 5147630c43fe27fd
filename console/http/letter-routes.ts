import type { FastifyReply } from 'fastify';
import { jsonValue } from '../../runtime/letters/where.ts';
import { requireOperator, requireOwnPage } from '../access.ts';
import { choiceSchema, filterSchema, placeSchema } from '../letters/filter.ts';
import type { AddRoutes } from './context.ts';
import { parsed } from './parse.ts';

/** Dead letters: lists, one in full, back or away. */
export const letterRoutes: AddRoutes = (app, { desk, deps, viewerOf }) => {
  app.get('/api/letters', async (request, reply) => {
    const filter = parsed(filterSchema, request.query);
    return sendExact(reply, await desk.list(viewerOf(request), filter));
  });
  app.get('/api/letters/:dlq/:partition/:offset', async (request, reply) => {
    const { dlq, partition, offset } = parsed(placeSchema, request.params);
    return sendExact(reply, await desk.show(viewerOf(request), dlq, partition, BigInt(offset)));
  });
  for (const [path, resolution] of [
    ['/api/letters/redrive', 'redriven'],
    ['/api/letters/drop', 'dropped'],
  ] as const) {
    app.post(path, async (request) => {
      requireOwnPage(request);
      const viewer = viewerOf(request);
      requireOperator(viewer);
      const choice = parsed(choiceSchema, request.body);
      const resolved = await desk.resolve(viewer, choice, resolution);
      const { run, letters } = resolved;
      deps.logger.info({ viewer: viewer.name, resolution, run, letters }, 'letters resolved');
      return resolved;
    });
  }
};

/** 64-bit numbers as text, bytes as base64. */
function sendExact(reply: FastifyReply, data: unknown): FastifyReply {
  return reply.type('application/json; charset=utf-8').send(JSON.stringify(data, jsonValue));
}
