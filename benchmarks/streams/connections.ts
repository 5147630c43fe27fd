import type { ChildProcess } from 'node:child_process';
import { setTimeout as delay } from 'node:timers/promises';
import { topicOffsets } from '../../runtime/kafka/admin.ts';
import { createPublisher } from '../../runtime/kafka/batching-publisher.ts';
import { TopicCodec } from '../../schemas/codec.ts';
import { createSchemaRegistryClient } from '../../schemas/registry.ts';
import type { Arena, Environment } from '../harness/environment.ts';
import type { Column, Sample } from '../harness/report.ts';
import type { Scenario } from '../harness/scenario.ts';
import { usageOf } from '../harness/usage.ts';
import {
  type ClientsMessage,
  type ClientsOrder,
  type ClientsReport,
  end,
  next,
  type ServiceOrder,
  type ServiceReady,
  start,
  tenantOf,
} from './protocol.ts';

const TOPIC = 'webhook.received';
const CONNECTIONS = 10_000;
const PER_SECOND = 5_000;
/** Of the wanted rate, the time until the last is delivered being counted. */
const MET = 0.95;
const TICK_MS = 10;
const PAYLOAD = JSON.stringify({ padding: 'x'.repeat(500) });

interface Play {
  readonly kind: 'subscriptions' | 'socket';
  readonly tenants: number;
  readonly records: number;
}

/** Publishes at a steady rate, tenant after tenant. */
async function publish(
  arena: Arena,
  registryUrl: string,
  { records, tenants }: Play,
): Promise<void> {
  const registry = createSchemaRegistryClient(registryUrl);
  const codec = new TopicCodec(registry, arena.client.physical);
  const publisher = await createPublisher(arena.client, codec);
  const began = performance.now();
  const acks: Promise<void>[] = [];
  for (let sent = 0; sent < records; ) {
    const due = Math.min(records, Math.floor(((performance.now() - began) * PER_SECOND) / 1_000));
    for (; sent < due; sent += 1) {
      const id = String(sent);
      const tenant = tenantOf(sent, tenants);
      const value = {
        event_id: `benchmark:${id}`,
        tenant_id: tenant,
        source: 'benchmark',
        event_type: 'benchmark',
        delivery_id: id,
        entity_id: id,
        occurred_at: null,
        received_at: Date.now(),
        payload: PAYLOAD,
      };
      acks.push(publisher.publish(TOPIC, { key: `${tenant}:${id}`, value }));
    }
    await delay(TICK_MS);
  }
  await Promise.all(acks);
  await publisher.close();
}

function percentile(sorted: readonly number[], of: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * of))] ?? 0;
}

async function reportOf(clients: ChildProcess): Promise<ClientsReport> {
  const message = await next<ClientsMessage>(clients);
  if (message.type !== 'report') throw new Error('the clients gave no report');
  return message.report;
}

async function play(environment: Environment, run: number, of: Play): Promise<Sample> {
  const { registryUrl, brokers } = environment;
  const arena = await environment.arena(of.kind);
  const [service, clients] = [start('./service.ts'), start('./clients.ts')];
  try {
    const { namespace } = arena.client.config;
    const { kind, tenants, records } = of;
    service.send({ kind, brokers, registryUrl, namespace, tenants } satisfies ServiceOrder);
    const { url } = await next<ServiceReady>(service);
    const pid = service.pid ?? 0;
    const idle = usageOf([pid]);
    clients.send({
      ...{ kind, url, tenants, connections: CONNECTIONS },
      ...{ perSecond: PER_SECOND, messages: records },
    } satisfies ClientsOrder);
    await next<ClientsMessage>(clients);
    const before = usageOf([pid]);
    const began = performance.now();
    let expected = records;
    let stored = records;
    const reported = reportOf(clients);
    if (kind === 'subscriptions') {
      await publish(arena, registryUrl, of);
      expected = (records * CONNECTIONS) / tenants;
      clients.send(expected);
    }
    const { received, latencies, lost, cores } = await reported;
    const seconds = (performance.now() - began) / 1_000;
    const after = usageOf([pid]);
    if (kind === 'socket') {
      const offsets = await topicOffsets(arena.client, TOPIC);
      stored = offsets.reduce((sum, { low, high }) => sum + Number(high - low), 0);
    }
    const sorted = latencies.toSorted((a, b) => a - b);
    return {
      contestant: 'reachflow',
      run,
      figures: {
        perSecond: received / seconds,
        share: received / seconds / (PER_SECOND * (kind === 'socket' ? 1 : CONNECTIONS / tenants)),
        p50: percentile(sorted, 0.5),
        p95: percentile(sorted, 0.95),
        p99: percentile(sorted, 0.99),
        cpu: ((after.cpuSeconds - before.cpuSeconds) / received) * 10_000,
        cpuShare: (after.cpuSeconds - before.cpuSeconds) / seconds,
        clients: cores,
        connectedMiB: before.residentMiB - idle.residentMiB,
        peakMiB: after.peakMiB,
      },
      exact: received === expected && stored === records && lost === 0,
      detail: `${CONNECTIONS / tenants} of a tenant, ${received} of ${expected}, ${lost} lost`,
    };
  } finally {
    await Promise.all([end(service), end(clients)]);
    await arena.remove();
  }
}

const columns: readonly Column[] = [
  { figure: 'perSecond', title: 'delivered/s', digits: 0 },
  { figure: 'p50', title: 'p50 ms', digits: 0 },
  { figure: 'p95', title: 'p95 ms', digits: 0 },
  { figure: 'p99', title: 'p99 ms', digits: 0 },
  { figure: 'cpu', title: 'CPU-s per 10 K', digits: 2 },
  { figure: 'cpuShare', title: 'cores', digits: 2 },
  { figure: 'clients', title: "clients' cores", digits: 2 },
  { figure: 'connectedMiB', title: 'MiB of 10,000 connections', digits: 0 },
  { figure: 'peakMiB', title: 'MiB at most', digits: 0 },
];

function scenario(kind: Play['kind'], summary: string, tenants: readonly number[]): Scenario {
  return {
    name: kind,
    summary,
    peers: false,
    defaults: { records: 100_000, warmUp: 0, runs: 1 },
    async run(environment, _contestants, { records, runs, onProgress }) {
      const samples: Sample[] = [];
      for (let run = 1; run <= runs; run += 1) {
        for (const count of tenants) {
          onProgress(`run ${run} of ${runs}: ${CONNECTIONS} connections, ${count} tenants …`);
          samples.push(await play(environment, run, { kind, tenants: count, records }));
        }
      }
      const name = 'delivered/s / what is published for it';
      const value = Math.min(...samples.map(({ figures }) => figures['share'] ?? 0));
      return { columns, samples, ratios: [{ name, value, target: MET }] };
    },
  };
}

/** 5,000 records a second to 10,000 subscribers, half SSE, half WebSocket: each record to one of them, then to five. */
export const subscriptions = scenario(
  'subscriptions',
  '5,000 records/s to 10,000 subscribers: latency from publication to delivery, memory',
  [10_000, 2_000],
);

/** 10,000 senders of 5,000 messages a second of 1 KB: time until the ack, which is after acks=all. */
export const socket = scenario(
  'socket',
  '5,000 messages/s of 1 KB over 10,000 WebSockets: time until each is acknowledged, memory',
  [10_000],
);
