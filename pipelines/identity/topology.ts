import type { TopologyBuilder } from '../../runtime/topology/api.ts';
import { defineTopology } from '../../runtime/topology/builder.ts';
import type { Topology } from '../../runtime/topology/graph.ts';
import type { ContactUnified } from '../../schemas/types.ts';
import { recordStore } from './resolve/known-record.ts';
import { createResolveStep, type ResolveOutputs } from './resolve/resolve.ts';
import { judgeContact, type RegionOf } from './steps/judge.ts';
import { readContactChange, readContactRow, readContactWebhook } from './steps/read-sources.ts';

/**
 * What webhooks, tables and files say of contacts → one valid, normalised shape (`contact.observed`) → the contacts that they are
 * together (`contact.unified`), and what becomes of these. Optional: beside the pipeline `contacts` for now.
 */
export const identityPipeline = createIdentityPipeline({});

/**
 * The same, with the countries of tenants' phone numbers: where none is known, numbers need a contact's country, or their own.
 * @param regions ISO 3166-1 country by tenant.
 */
export function createIdentityPipeline(regions: Readonly<Record<string, string>>): Topology {
  const regionOf = (tenant: string) =>
    Object.hasOwn(regions, tenant) ? regions[tenant] : undefined;
  return defineTopology('identity', (t) => build(t, regionOf));
}

function build(t: TopologyBuilder, regionOf: RegionOf): void {
  const webhooks = t
    .stream('webhook.received', { name: 'sources' })
    .step('read-webhook', readContactWebhook);
  const rows = t.stream('file.row.received').step('read-row', readContactRow);
  const changes = t
    .stream('cdc.public.contacts')
    .step('read-change', readContactChange)
    .flatMap('each-tenant', (contacts) => contacts);
  webhooks
    .merge('webhooks-and-rows', rows)
    .merge('all', changes)
    .step('judge', (contact, { source }) =>
      judgeContact(contact, source.record.timestamp, regionOf),
    )
    .to('contact.observed', { key: ({ tenant_id }) => tenant_id });

  const resolved = t
    .stream('contact.observed', { name: 'resolve' })
    .process<ContactUnified | null, ResolveOutputs>('match', {
      stores: [recordStore],
      outputs: ['created', 'updated', 'merged', 'deleted', 'held-back'],
      create: createResolveStep,
    });
  resolved.to('contact.unified');
  resolved.output('created').to('contact.created');
  resolved.output('updated').to('contact.updated');
  resolved.output('merged').to('contact.merged');
  resolved.output('deleted').to('contact.deleted');
  resolved.output('held-back').to('contact.held_back');
}
