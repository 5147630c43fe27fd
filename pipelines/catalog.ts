import type { Topology } from '../runtime/topology/graph.ts';
import { contactsPipeline } from './contacts/topology.ts';
import { eventsPipeline } from './events/topology.ts';

/** Every pipeline, by explicit listing: add yours here. */
export const pipelines: readonly Topology[] = [contactsPipeline, eventsPipeline];
