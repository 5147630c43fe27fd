import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Viewer } from '../access.ts';
import type { ChartPolls } from '../charts/polls.ts';
import type { Warehouse } from '../charts/warehouse.ts';
import type { ConsoleDeps } from '../deps.ts';
import type { LetterDesk } from '../letters/desk.ts';
import type { PipelineWatch } from '../pipelines/watch.ts';
import type { EventStreams } from './event-stream.ts';

/** What the routes answer from. */
export interface RouteContext {
  readonly deps: ConsoleDeps;
  readonly warehouse: Warehouse;
  readonly polls: ChartPolls;
  readonly watch: PipelineWatch;
  readonly desk: LetterDesk;
  readonly streams: EventStreams;
  /** Who an admitted request is from. */
  readonly viewerOf: (request: FastifyRequest) => Viewer;
}

export type AddRoutes = (app: FastifyInstance, context: RouteContext) => void;
