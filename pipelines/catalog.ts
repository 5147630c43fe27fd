import type { Topology } from '../runtime/topology/graph.ts';
import { optionalParts } from '../schemas/topics.ts';
import { alertsPipeline, createAlertsPipeline } from './alerts/topology.ts';
import type { PipelinesConfig } from './config.ts';
import { contactsPipeline } from './contacts/topology.ts';
import { eventsPipeline } from './events/topology.ts';
import { identityPipeline } from './identity/topology.ts';
import { ledgerPipeline } from './ledger/topology.ts';
import { metricsPipeline } from './metrics/topology.ts';
import { scoringPipeline } from './scoring/topology.ts';

/** Every pipeline, by explicit listing: add yours here. */
export const pipelines: readonly Topology[] = [
  alertsPipeline,
  contactsPipeline,
  eventsPipeline,
  identityPipeline,
  ledgerPipeline,
  metricsPipeline,
  scoringPipeline,
];

/** Those that run: the optional ones only where the configuration names them. */
export function activePipelines({ optional, throttle }: PipelinesConfig): readonly Topology[] {
  const active = pipelines.filter(
    ({ name }) =>
      !optionalParts.some((part) => part === name) || optional.some((part) => part === name),
  );
  return active.map((topology) =>
    topology === alertsPipeline ? createAlertsPipeline(throttle) : topology,
  );
}
