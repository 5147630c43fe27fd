import type { Topology } from '../runtime/topology/graph.ts';
import { optionalParts } from '../schemas/topics.ts';
import { createAlertsPipeline } from './alerts/topology.ts';
import { type PipelinesConfig, pipelinesConfigSchema } from './config.ts';
import { contactsPipeline } from './contacts/topology.ts';
import { type EnrichmentConfig, enrichmentConfigSchema } from './enrichment/config.ts';
import { createEnrichmentPipeline } from './enrichment/topology.ts';
import { eventsPipeline } from './events/topology.ts';
import { createIdentityPipeline } from './identity/topology.ts';
import { ledgerPipeline } from './ledger/topology.ts';
import { metricsPipeline } from './metrics/topology.ts';
import { scoringPipeline } from './scoring/topology.ts';

/** What pipelines are made with. The root configuration is one. */
export interface PipelineConfigs {
  readonly pipelines: PipelinesConfig;
  readonly enrichment: EnrichmentConfig;
}

function allPipelines({ pipelines: of, enrichment }: PipelineConfigs): Topology[] {
  return [
    createAlertsPipeline(of.throttle),
    contactsPipeline,
    createEnrichmentPipeline(enrichment),
    eventsPipeline,
    createIdentityPipeline(of.regions),
    ledgerPipeline,
    metricsPipeline,
    scoringPipeline,
  ];
}

/** Every pipeline as it is by default, by explicit listing: add yours above. */
export const pipelines: readonly Topology[] = allPipelines({
  pipelines: pipelinesConfigSchema.parse({}),
  enrichment: enrichmentConfigSchema.parse({}),
});

/** Those that run: the optional ones only where the configuration names them. */
export function activePipelines(config: PipelineConfigs): readonly Topology[] {
  const { optional } = config.pipelines;
  return allPipelines(config).filter(
    ({ name }) =>
      !optionalParts.some((part) => part === name) || optional.some((part) => part === name),
  );
}
