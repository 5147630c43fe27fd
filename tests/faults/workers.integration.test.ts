import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { signHmac } from '../../connectors/webhook/schemes/hmac.ts';
import type { KafkaClient } from '../../runtime/kafka/client.ts';
import type { TopicCodec } from '../../schemas/codec.ts';
import { testStack } from '../integration/stack.ts';
import { decodedTopic, eventually, kafkaFixture } from '../support/kafka.ts';
import { ReachflowProcess, type WorkerReport } from '../support/reachflow-process.ts';

const SECRET = 'correct-horse-battery-staple';
const ONLY = ['--only', 'webhook,events'];
const KILLS = 4;

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** Posts it until it is accepted, as senders do: a worker that is killed resets its connections. */
async function deliver(url: string, deliveryId: string): Promise<void> {
  const body = JSON.stringify({ id: deliveryId });
  for (let attempt = 1; attempt <= 50; attempt += 1) {
    const signing = { secret: SECRET, deliveryId, eventType: 'e', timestampMs: Date.now(), body };
    const answer = await fetch(`${url}/webhooks/ingest/shop`, {
      method: 'POST',
      headers: signHmac(signing),
      body,
      // A connection that was on its way to a worker when it was killed may never be answered.
      signal: AbortSignal.timeout(10_000),
    }).catch(() => undefined);
    await answer?.arrayBuffer().catch(() => undefined);
    if (answer?.status === 202) return;
    await delay(100);
  }
  throw new Error(`${deliveryId} was not accepted`);
}

describe('reachflow run --workers', { timeout: 300_000 }, () => {
  let client: KafkaClient;
  let codec: TopicCodec;
  let processes: ReachflowProcess[];
  /** Every worker process seen, to be sure that none is left behind. */
  let pids: Set<number>;

  beforeEach(() => {
    ({ client, codec } = kafkaFixture());
    processes = [];
    pids = new Set();
  });
  afterEach(async () => {
    for (const each of processes) await each.end('SIGKILL');
    for (const pid of pids) if (isAlive(pid)) process.kill(pid, 'SIGKILL');
  });

  function start(count: number, env: Readonly<Record<string, string>> = {}): ReachflowProcess {
    const { kafka, registry } = testStack();
    const settings = {
      REACHFLOW_KAFKA_BROKERS: kafka.brokers.join(','),
      REACHFLOW_KAFKA_NAMESPACE: client.config.namespace,
      REACHFLOW_KAFKA_SESSION_TIMEOUT_MS: '6000',
      REACHFLOW_REGISTRY_URL: registry.url,
      REACHFLOW_WEBHOOK_PORT: '0',
      REACHFLOW_WEBHOOK_SOURCES: JSON.stringify({
        shop: { scheme: 'hmac', tenant: 'acme', secrets: [SECRET] },
      }),
      ...env,
    };
    const started = new ReachflowProcess(settings, ['--workers', String(count), ...ONLY]);
    processes.push(started);
    return started;
  }

  async function ready(supervisor: ReachflowProcess): Promise<string> {
    const { webhookUrl } = await supervisor.ready();
    if (webhookUrl === undefined) throw new Error('no webhook URL');
    pidsOf(supervisor);
    return webhookUrl;
  }

  function pidsOf(supervisor: ReachflowProcess): number[] {
    const now = supervisor.workers.flatMap(({ pid }) => (pid === undefined ? [] : [pid]));
    for (const pid of now) pids.add(pid);
    return now;
  }

  /** On a busy machine a process takes half a minute to start. */
  const replaced = (supervisor: ReachflowProcess, before: WorkerReport) =>
    eventually(
      `worker ${before.worker} is replaced`,
      () => {
        const now = supervisor.workers.find(({ worker }) => worker === before.worker);
        return now?.phase === 'ready' && now.pid !== before.pid;
      },
      120_000,
    );

  it('loses and doubles nothing when workers are killed at random moments', async () => {
    const supervisor = start(3, { REACHFLOW_WORKERS_RESTART_INITIAL_MS: '200' });
    const url = await ready(supervisor);
    let sent = 0;
    let sending = true;
    const sender = async () => {
      while (sending) {
        sent += 1;
        await deliver(url, `d-${sent}`);
      }
    };
    const senders = Promise.all(Array.from({ length: 8 }, sender));
    senders.catch(() => undefined);
    for (let kill = 0; kill < KILLS; kill += 1) {
      await delay(500 + Math.random() * 2_000);
      const others = pidsOf(supervisor);
      const victim = supervisor.workers[kill % supervisor.workers.length];
      if (victim?.pid === undefined) throw new Error('no worker to kill');
      process.kill(victim.pid, 'SIGKILL');
      await replaced(supervisor, victim);
      const kept = others.filter((pid) => pid !== victim.pid);
      expect(pidsOf(supervisor), 'the other workers go on').toEqual(expect.arrayContaining(kept));
    }
    sending = false;
    await senders;
    expect(sent, 'a load worth the name').toBeGreaterThan(200);
    const recorded = async () =>
      (await decodedTopic(client, codec, 'event.recorded')).map(({ event_id }) => event_id);
    await eventually('all are recorded', async () => (await recorded()).length >= sent, 60_000);
    expect(await supervisor.end('SIGTERM')).toBe(0);
    const ids = await recorded();
    expect(ids.length, 'events twice').toBe(new Set(ids).size);
    expect(ids.length).toBe(sent);
    expect(supervisor.workers.map(({ restarts }) => restarts).toSorted()).toEqual([1, 1, 2]);
    for (const worker of [1, 2, 3]) {
      expect(supervisor.log, `log of worker ${worker}`).toMatch(
        new RegExp(`"worker":${worker},.*"msg":"webhook listening"`),
      );
    }
  });

  it.each([
    ['while they work', true],
    ['while they start', false],
  ])('SIGTERM ends all workers in time, %s', async (_, waits) => {
    const supervisor = start(2);
    if (waits) await ready(supervisor);
    else await eventually('workers are started', () => pidsOf(supervisor).length === 2);
    const before = Date.now();
    expect(await supervisor.end('SIGTERM')).toBe(0);
    expect(Date.now() - before).toBeLessThan(11_000);
    for (const pid of pids) expect(isAlive(pid), `worker ${pid}`).toBe(false);
  });

  it('the workers end when their supervisor is killed', async () => {
    const supervisor = start(2);
    await ready(supervisor);
    await supervisor.end('SIGKILL');
    await eventually('no worker is left', () => ![...pids].some(isAlive), 11_000);
    await eventually('they had drained', () => supervisor.log.includes('"msg":"stopped"'));
    expect(supervisor.log).toContain('"reason":"parent ended"');
  });

  it('restarts a worker that needs too much memory, after it has drained', async () => {
    const supervisor = start(2, {
      REACHFLOW_WORKERS_MEMORY_MB: '64',
      REACHFLOW_WORKERS_MEMORY_CHECK_MS: '500',
      REACHFLOW_WORKERS_RESTART_INITIAL_MS: '100',
    });
    await eventually('a worker was restarted', () => {
      pidsOf(supervisor);
      return supervisor.workers.some(({ restarts }) => restarts > 0);
    });
    const { log } = supervisor;
    expect(log).toMatch(/"reason":"memory: \d+ MiB resident .* the limit is 64 MiB"/);
    expect(log).toContain('"msg":"stopped"');
    expect(log).toMatch(/"code":0,"signal":null,"msg":"worker ended"/);
    expect(await supervisor.end('SIGTERM')).toBe(0);
  });

  it.each([1, 2])(
    'fails at once on a taken port, before a group is joined (%i workers)',
    async (count) => {
      const taken = createServer().listen(0, '127.0.0.1');
      await once(taken, 'listening');
      const { port } = taken.address() as AddressInfo;
      try {
        const supervisor = start(count, { REACHFLOW_WEBHOOK_PORT: String(port) });
        expect(await supervisor.exited()).toBe(1);
        expect(supervisor.log).toContain('error WEBHOOK_LISTEN_FAILED');
        expect(supervisor.log).not.toContain('will be started again');
      } finally {
        taken.close();
      }
      const admin = client.kafka.admin();
      await admin.connect();
      const { groups } = await admin.listGroups();
      await admin.disconnect();
      const ours = groups.filter(({ groupId }) => groupId.startsWith(client.config.namespace));
      expect(ours).toEqual([]);
    },
  );

  it('gives up, with the reason, on workers that keep failing', async () => {
    const supervisor = start(2, {
      REACHFLOW_REGISTRY_URL: 'http://127.0.0.1:9/apis',
      REACHFLOW_WORKERS_RESTART_INITIAL_MS: '50',
      REACHFLOW_WORKERS_MAX_FAILURES: '3',
    });
    expect(await supervisor.exited()).toBe(1);
    expect(supervisor.log).toMatch(/error WORKER_FAILED: worker \d failed 3 times in a row: /);
  });
});
