/**
 * The scenario `enrichment`, in a process of its own: decodes, enriches, encodes and stores as a task does, with LMDB and
 * epochs, but without a broker; providers are asked by HTTP. `node benchmarks/enrichment/worker.ts --url <base URL of a local
 * provider> --contacts 20000 --dir <directory>`; a line of JSON a phase.
 */
import { parseArgs } from 'node:util';
import { enrichmentConfigSchema } from '../../pipelines/enrichment/config.ts';
import { ProviderClient } from '../../pipelines/enrichment/providers/client.ts';
import { httpProvider } from '../../pipelines/enrichment/providers/http.ts';
import { providerKinds } from '../../pipelines/enrichment/providers/provider.ts';
import { type Clients, createAsking } from '../../pipelines/enrichment/steps/asking.ts';
import type { EnrichContext } from '../../pipelines/enrichment/steps/context.ts';
import { createEnrichStep } from '../../pipelines/enrichment/steps/enrich.ts';
import { answers, contacts, pending } from '../../pipelines/enrichment/steps/known.ts';
import { BackgroundCalls } from '../../runtime/operators/background-calls.ts';
import { openBackend, storesOf, TaskState } from '../../runtime/state/contract.ts';
import { MemoryCodec } from '../../runtime/testing/memory-codec.ts';
import { NO_SOURCE } from '../../runtime/topology/record.ts';
import type { EnrichmentRequested } from '../../schemas/types.ts';
import { usageOf } from '../harness/usage.ts';

/** Input records of an epoch. */
const EPOCH = 1_000;
const PER_DOMAIN = 20;

const { values } = parseArgs({
  options: {
    url: { type: 'string', default: '' },
    contacts: { type: 'string', default: '20000' },
    dir: { type: 'string', default: '' },
  },
});
const count = Number(values.contacts);
const codec = await MemoryCodec.create();
const stores = [contacts, answers, pending];
const identity = {
  ...{ namespace: 'bench', pipeline: 'enrichment', subTopology: 'requests', partition: 0 },
};
const backend = await openBackend({
  ...{ kind: 'lmdb', dir: values.dir, identity, stores: storesOf(stores) },
});
const state = new TaskState(stores, backend);
const config = enrichmentConfigSchema.parse(
  Object.fromEntries(
    providerKinds.map((kind) => [
      kind,
      { url: `${values.url}/${kind}`, requestsPerSecond: 10_000, lingerMs: 1, concurrency: 8 },
    ]),
  ),
);
const clients: Clients = Object.fromEntries(
  providerKinds.map((kind) => {
    const { attempts, breaker } = config;
    const provider = httpProvider({ kind, url: `${values.url}/${kind}`, key: undefined });
    return [kind, new ProviderClient(provider, { ...config[kind], attempts, breaker })];
  }),
);
const calls = new BackgroundCalls(
  { patienceMs: 60_000 },
  { in: 0, late: 0, dropped: new Map(), deadLettered: new Map() },
);
const made = { enriched: 0, called: 0 };
const context: EnrichContext = {
  partition: 0,
  store: (spec) => state.store(spec),
  table: () => {
    throw new Error('it has no tables');
  },
  timers: { schedule: () => undefined, cancel: () => undefined },
  calls,
  now: () => Date.now(),
  forward: (_key, value) => {
    made.enriched += 1;
    if (value !== null) codec.encode('contact.enriched', value);
  },
  forwardTo: (output, _key, value) => {
    if (output === 'completed') {
      const event = value as Parameters<typeof codec.encode<'enrichment.completed'>>[1];
      if (!event.cached) made.called += 1;
      codec.encode('enrichment.completed', event);
    } else if (value !== null) codec.encode('enrichment.answered', value as never);
  },
  watermark: () => Date.now(),
};
const step = createEnrichStep((own, tell) => createAsking(clients, config, own, tell))(context);
let offset = 0n;

function request(n: number, person: number, revision: number): EnrichmentRequested {
  const domain = `company${Math.floor(person / PER_DOMAIN)}.example`;
  return {
    ...{ tenant_id: 'acme', contact_id: String(n), revision: BigInt(revision) },
    ...{ source: 'contact.golden', email: `person${person}@${domain}`, domain },
    ...{ company: null, company_domain: null, industry: null, requested_at: Date.now() },
  };
}

async function epoch(requests: readonly EnrichmentRequested[]): Promise<number> {
  const encoded = requests.map((value) => codec.encode('enrichment.requested', value));
  const before = process.cpuUsage();
  for (const bytes of encoded) {
    const value = codec.decode('enrichment.requested', bytes);
    const record = { key: value.contact_id, timestamp: Date.now(), watermark: Date.now() };
    const input = { request: value, journal: undefined };
    step.process(input, { ...record, value: input, source: NO_SOURCE });
  }
  await calls.take((_id, apply) => apply());
  state.housekeep(Date.now());
  offset += BigInt(state.takeChanges().length);
  state.committed(offset);
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1e6;
}

async function phase(name: string, make: (n: number) => EnrichmentRequested): Promise<void> {
  const before = { ...made };
  const began = performance.now();
  let cpu = 0;
  for (let from = 0; from < count; from += EPOCH) {
    const size = Math.min(EPOCH, count - from);
    cpu += await epoch(Array.from({ length: size }, (_, n) => make(from + n)));
  }
  const { residentMiB, anonymousMiB } = usageOf([process.pid]);
  const line = {
    phase: name,
    contacts: count,
    perCpuSecond: Math.round(count / cpu),
    perSecond: Math.round((count * 1_000) / (performance.now() - began)),
    enriched: made.enriched - before.enriched,
    called: made.called - before.called,
    residentMiB: Math.round(residentMiB),
    anonymousMiB: Math.round(anonymousMiB),
  };
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

await phase('uncached', (n) => request(n, n, 1));
await phase('cached', (n) => request(count + n, n, 1));
await phase('company changed', (n) => ({ ...request(n, n, 2), company: 'Renamed' }));
await phase('requested again', (n) => ({ ...request(n, n, 2), company: 'Renamed' }));
await state.close();
