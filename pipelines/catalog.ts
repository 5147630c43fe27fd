import type { PipelineSpec } from '../runtime/task/processor.ts';
import { contactsPipeline } from './contacts/topology.ts';
import { eventsPipeline } from './events/topology.ts';

/** Every pipeline, by explicit listing: add yours here. */
export const pipelines: readonly PipelineSpec[] = [contactsPipeline, eventsPipeline];
