import type { Topology } from '../runtime/topology/graph.ts';
import { optionalParts } from '../schemas/topics.ts';
import { alertsPipeline, createAlertsPipeline } from './alerts/topology.ts';
import type { PipelinesConfig } from './config.ts';
import { contactsPipeline } from './contacts/topology.ts';
import type { EnrichmentConfig } from './enrichment/config.ts';
import { createEnrichmentPipeline, enrichmentPipeline } from './enrichment/topology.ts';
import { eventsPipeline } from './events/topology.ts';
import { identityPipeline } from './identity/topology.ts';
import { ledgerPipeline } from './ledger/topology.ts';
import { metricsPipeline } from './metrics/topology.ts';
import { scoringPipeline } from './scoring/topology.ts';

/** Every pipeline, by explicit listing: add yours here. */
export const pipelines: readonly Topology[] = [
  alertsPipeline,
  contactsPipeline,
  enrichmentPipeline,
  eventsPipeline,
  identityPipeline,
  ledgerPipeline,
  metricsPipeline,
  scoringPipeline,
];

/** The sections of the configuration that pipelines are made by. */
export interface PipelineConfigs {
  readonly pipelines: PipelinesConfig;
  readonly enrichment: EnrichmentConfig;
}

/** Those that run: the optional ones only where the configuration names them. */
export function activePipelines(config: PipelineConfigs): readonly Topology[] {
  const { optional, throttle } = config.pipelines;
  const active = pipelines.filter(
    ({ name }) =>
      !optionalParts.some((part) => part === name) || optional.some((part) => part === name),
  );
  return active.map((topology) => {
    if (topology === alertsPipeline) return createAlertsPipeline(throttle);
    if (topology === enrichmentPipeline) return createEnrichmentPipeline(config.enrichment);
    return topology;
  });
}
