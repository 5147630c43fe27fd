import { readFile } from 'node:fs/promises';
import type { StackEndpoints } from '../compose/endpoints.ts';
import { productEnvironment } from './environment.ts';
import { createDeliveries } from './input/deliveries.ts';
import { loadGithubExamples } from './input/github.ts';
import { Ledger } from './input/ledger.ts';
import { PostgresWriter } from './input/postgres-writer.ts';
import { seededRandom } from './input/random.ts';
import { WebhookSender } from './input/sender.ts';
import { createSecrets } from './input/sources.ts';
import { Workload } from './input/workload.ts';
import { LatencyProbe } from './latency.ts';
import { Monitor } from './monitor.ts';
import { type DemoDeps, type DemoKafka, type DemoOptions, productLogFile } from './options.ts';
import { type ProductProcess, startProductProcess } from './product.ts';
import { openStores, type Stores } from './stores.ts';
import { Rate } from './view/rate.ts';
import type { Snapshot } from './view/snapshot.ts';

/** Connections of the webhook sender. */
const CONNECTIONS = 16;

/** Everything that one run of the demo uses, while the stack is up. */
export interface Session {
  /** Makes ids unique to this run. */
  readonly runId: string;
  readonly product: ProductProcess;
  /** Undefined where the demo ends by itself: nobody looks. */
  readonly consoleUrl: string | undefined;
  readonly kafka: DemoKafka;
  readonly stores: Stores;
  readonly monitor: Monitor;
  readonly ledger: Ledger;
  readonly sender: WebhookSender;
  readonly deliveries: ReturnType<typeof createDeliveries>;
  readonly writer: PostgresWriter;
  readonly workload: Workload;
  /** The view's figures at this moment. */
  snapshot(at: Pick<Snapshot, 'phase' | 'elapsedMs' | 'durationMs'>): Snapshot;
  /** Stops the product and closes every connection. */
  close(): Promise<void>;
}

/**
 * Makes the source tables, starts the product and connects to everything. What was opened is closed again when
 * a later part fails.
 */
export async function openSession(
  options: Pick<DemoOptions, 'seed' | 'stack' | 'once'>,
  endpoints: StackEndpoints,
  deps: DemoDeps,
): Promise<Session> {
  const opened: (() => Promise<unknown>)[] = [];
  const close = async () => {
    for (const closeOne of opened.splice(0).reverse()) await closeOne();
  };
  try {
    const writer = await PostgresWriter.open(endpoints.postgres.url);
    opened.push(() => writer.close());
    // Before the product: change data capture needs the tables.
    await writer.ensureTables(await readFile(SOURCE_SQL, 'utf8'));
    const secrets = createSecrets();
    const env = productEnvironment(endpoints, secrets, options.stack.dir);
    const product = await startProductProcess({
      cliPath: deps.cliPath,
      env,
      logFile: productLogFile(options.stack.dir),
      signal: deps.interrupted,
    });
    opened.push(() => product.stop());
    const kafka = await deps.openKafka(env);
    opened.push(() => kafka.close());
    const page = options.once ? undefined : await deps.serveConsole(env);
    if (page !== undefined) opened.push(() => page.stop());
    const stores = openStores(endpoints);
    opened.push(() => stores.close());
    const monitor = new Monitor({ stats: kafka.stats, stores });
    opened.push(() => monitor.stop());
    const input = await createInput(options.seed, secrets, product.webhookUrl, writer, stores);
    opened.push(async () => {
      input.probe.stop();
      input.sender.abandon();
    });
    const snapshot = snapshots(options.seed, { ...input, writer, monitor });
    const consoleUrl = page?.url;
    return { ...input, product, consoleUrl, kafka, stores, monitor, writer, snapshot, close };
  } catch (error) {
    await close();
    throw error;
  }
}

const SOURCE_SQL = new URL('../compose/sql/source.sql', import.meta.url);

async function createInput(
  seed: number,
  secrets: ReturnType<typeof createSecrets>,
  url: string,
  writer: PostgresWriter,
  stores: Stores,
) {
  // Not of the seed: a run with the seed of another one must not repeat its delivery ids.
  const runId = `${Date.now().toString(36)}-${process.pid.toString(36)}`;
  const ledger = new Ledger();
  const probe = new LatencyProbe((eventId) => stores.clickhouse.hasEvent(eventId));
  const sender = new WebhookSender({
    url,
    ledger,
    connections: CONNECTIONS,
    onAccepted: (eventId) => probe.offer(eventId),
  });
  const random = seededRandom(seed);
  const examples = loadGithubExamples();
  const deliveries = createDeliveries({ random, runId, secrets, examples });
  const workload = new Workload(seededRandom(seed + 1), await writer.start());
  return { runId, ledger, probe, sender, deliveries, workload };
}

interface SnapshotParts {
  readonly ledger: Ledger;
  readonly probe: LatencyProbe;
  readonly writer: PostgresWriter;
  readonly monitor: Monitor;
}

function snapshots(seed: number, { ledger, probe, writer, monitor }: SnapshotParts) {
  const webhookRate = new Rate();
  const rowRate = new Rate();
  return (at: Pick<Snapshot, 'phase' | 'elapsedMs' | 'durationMs'>): Snapshot => {
    const now = performance.now();
    const { insert, update, delete: deleted, broken } = writer.counts;
    return {
      ...at,
      seed,
      webhooks: {
        sent: ledger.sent,
        retries: ledger.retries,
        unanswered: ledger.unanswered,
        perSecond: webhookRate.observe(ledger.sent, now),
        statuses: ledger.statuses,
      },
      rows: {
        insert,
        update,
        delete: deleted,
        broken,
        perSecond: rowRate.observe(insert + update + deleted, now),
      },
      latency: probe.summary(),
      seen: monitor.latest,
    };
  };
}
