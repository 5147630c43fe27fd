import type { Topology } from '../runtime/topology/graph.ts';
import { optionalParts } from '../schemas/topics.ts';
import { alertsPipeline } from './alerts/topology.ts';
import type { PipelinesConfig } from './config.ts';
import { contactsPipeline } from './contacts/topology.ts';
import { type EnrichmentConfig, enrichmentConfigSchema } from './enrichment/config.ts';
import { createEnrichmentPipeline } from './enrichment/topology.ts';
import { eventsPipeline } from './events/topology.ts';
import { identityPipeline } from './identity/topology.ts';
import { ledgerPipeline } from './ledger/topology.ts';

/** What a pipeline is made with; without it, as its defaults have it. */
export interface PipelineConfigs {
  readonly enrichment: EnrichmentConfig;
}

function allPipelines({ enrichment }: PipelineConfigs): readonly Topology[] {
  return [
    alertsPipeline,
    contactsPipeline,
    createEnrichmentPipeline(enrichment),
    eventsPipeline,
    identityPipeline,
    ledgerPipeline,
  ];
}

/** Every pipeline as it is by default, by explicit listing: add yours above. */
export const pipelines: readonly Topology[] = allPipelines({
  enrichment: enrichmentConfigSchema.parse({}),
});

/** Those that run: the optional ones only where the configuration names them. */
export function activePipelines(
  config: PipelineConfigs & { readonly pipelines: PipelinesConfig },
): readonly Topology[] {
  const { optional } = config.pipelines;
  return allPipelines(config).filter(
    ({ name }) =>
      !optionalParts.some((part) => part === name) || optional.some((part) => part === name),
  );
}
