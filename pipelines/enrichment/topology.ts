import { type Clock, systemClock } from '../../runtime/delivery/clock.ts';
import type { BreakerState } from '../../runtime/task/counters.ts';
import type { WithOutputs } from '../../runtime/topology/api.ts';
import { defineTopology } from '../../runtime/topology/builder.ts';
import type { Topology } from '../../runtime/topology/graph.ts';
import type { ContactEnriched } from '../../schemas/types.ts';
import { type EnrichmentConfig, enrichmentConfigSchema } from './config.ts';
import { ProviderClient } from './providers/client.ts';
import { httpProvider } from './providers/http.ts';
import { type Provider, providerKinds } from './providers/provider.ts';
import { type Clients, createAsking } from './steps/asking.ts';
import type { EnrichOutputs } from './steps/context.ts';
import { createEnrichStep } from './steps/enrich.ts';
import { answers, contacts, pending } from './steps/known.ts';
import { createReading } from './steps/reading.ts';
import { createRequestStep, requested } from './steps/request.ts';

/** The providers that have a URL. */
export function configuredProviders(config: EnrichmentConfig): readonly Provider[] {
  return providerKinds.flatMap((kind) => {
    const { url, key } = config[kind];
    return url === undefined ? [] : [httpProvider({ kind, url, key })];
  });
}

/**
 * Golden contacts → what is to be asked about them (`enrichment.requested`) → what providers and our own tables say of them
 * (`contact.enriched`), what came of each question (`enrichment.completed`), and all answers (`enrichment.answered`), which a
 * replay reads in place of asking. Tasks of a process share a client per provider.
 */
export function createEnrichmentPipeline(
  config: EnrichmentConfig,
  providers: readonly Provider[] = configuredProviders(config),
  clock: Clock = systemClock,
): Topology {
  const { source, journal } = config;
  return defineTopology('enrichment', (t) => {
    const request = createRequestStep(source, config.freeMailDomains);
    const step = { stores: [requested], create: request };
    t.streamWithTombstones(source, { name: 'contacts' })
      .process('request', step)
      .to('enrichment.requested');

    const requests = t.streamWithTombstones('enrichment.requested', { name: 'requests' });
    if (journal === 'read') {
      const enriched = requests
        .leftJoin(
          'with-journal',
          t.table('enrichment.answered', { name: 'journal' }),
          (value, row) => ({
            request: value,
            journal: row,
          }),
        )
        .process<ContactEnriched | null, EnrichOutputs>('enrich', {
          stores: [contacts],
          outputs: ['completed', 'answered'],
          create: createEnrichStep((context, tell) => createReading(config, context, tell)),
        });
      written(enriched);
      enriched.output('answered').ignore('the journal is what was read');
      return;
    }
    const clients = clientsOf(config, providers, clock);
    const enriched = requests
      .map('no-journal', (value) => ({ request: value, journal: undefined }))
      .process<ContactEnriched | null, EnrichOutputs>('enrich', {
        stores: [contacts, answers, pending],
        outputs: ['completed', 'answered'],
        calls: {
          patienceMs: config.patienceMs,
          maxUnderWay: config.maxUnderWay,
          breaker: () => worstOf(clients),
        },
        create: createEnrichStep((context, tell) => createAsking(clients, config, context, tell)),
      });
    written(enriched);
    enriched.output('answered').to('enrichment.answered');
  });
}

function written(enriched: WithOutputs<ContactEnriched | null, EnrichOutputs>): void {
  enriched.to('contact.enriched');
  enriched.output('completed').to('enrichment.completed');
}

function clientsOf(
  config: EnrichmentConfig,
  providers: readonly Provider[],
  clock: Clock,
): Clients {
  const { attempts, breaker } = config;
  return Object.fromEntries(
    providers.map((provider) => {
      const options = { ...config[provider.kind], attempts, breaker };
      return [provider.kind, new ProviderClient(provider, options, clock)];
    }),
  );
}

/** Of all providers: one that is left alone is to be seen. */
function worstOf(clients: Clients): BreakerState {
  const states = Object.values(clients).map(({ breaker }) => breaker);
  return (['open', 'half-open'] as const).find((state) => states.includes(state)) ?? 'closed';
}

/** As it is by default, without providers: what there is to see of it without a configuration. */
export const enrichmentPipeline = createEnrichmentPipeline(enrichmentConfigSchema.parse({}));
