import { afterEach, describe, expect, it } from 'vitest';
import { signHmac } from '../../connectors/webhook/schemes/hmac.ts';
import { processReportSchema } from '../../runtime/observability/process-status.ts';
import { eventually, kafkaFixture } from '../support/kafka.ts';
import { ReachflowProcess } from '../support/reachflow-process.ts';
import { testStack } from './stack.ts';

const SECRET = 'correct-horse-battery-staple';
const EVENTS = 20;

/** Where the process says that it can be observed. */
function observabilityUrl({ log }: ReachflowProcess): string | undefined {
  for (const line of log.split('\n')) {
    if (!line.includes('"observability listening"')) continue;
    const { url } = JSON.parse(line) as { url?: unknown };
    if (typeof url === 'string') return url;
  }
  return undefined;
}

/** Sum of the samples of a metric that have all of these labels. */
function sumOf(text: string, name: string, ...labels: readonly string[]): number {
  return text
    .split('\n')
    .filter((line) => line.startsWith(`${name}{`) && labels.every((label) => line.includes(label)))
    .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0);
}

describe('a running reachflow, seen from outside', { timeout: 120_000 }, () => {
  let running: ReachflowProcess | undefined;
  afterEach(() => running?.end('SIGKILL'));

  it('is healthy, counts what it did, and shows its tasks', async () => {
    const { client } = kafkaFixture();
    const { kafka, registry } = testStack();
    running = new ReachflowProcess(
      {
        REACHFLOW_KAFKA_BROKERS: kafka.brokers.join(','),
        REACHFLOW_KAFKA_NAMESPACE: client.config.namespace,
        REACHFLOW_REGISTRY_URL: registry.url,
        REACHFLOW_OBSERVABILITY_PORT: '0',
        REACHFLOW_WEBHOOK_PORT: '0',
        REACHFLOW_WEBHOOK_SOURCES: JSON.stringify({
          shop: { scheme: 'hmac', tenant: 'acme', secrets: [SECRET] },
        }),
      },
      ['--only', 'webhook,events'],
    );
    const { webhookUrl = '' } = await running.ready();
    const url = observabilityUrl(running) ?? '';
    for (const path of ['/health/live', '/health/ready', '/health/startup']) {
      expect((await fetch(url + path)).status, path).toBe(200);
    }
    for (let i = 0; i < EVENTS; i += 1) {
      const body = JSON.stringify({ id: String(i), card: 'hunter2-payload' });
      const signing = {
        secret: SECRET,
        deliveryId: String(i),
        eventType: 'e',
        timestampMs: Date.now(),
        body,
      };
      const answer = await fetch(`${webhookUrl}/webhooks/ingest/shop`, {
        method: 'POST',
        headers: signHmac(signing),
        body,
      });
      expect(answer.status).toBe(202);
    }
    const scrape = async () => (await fetch(`${url}/metrics`)).text();
    const input = ['pipeline="events"', 'step=""', 'outcome="in"'];
    await eventually(
      'all counted',
      async () => sumOf(await scrape(), 'reachflow_records_total', ...input) >= EVENTS,
    );
    const text = await scrape();
    expect(sumOf(text, 'reachflow_epochs_total', 'pipeline="events"')).toBeGreaterThan(0);
    expect(sumOf(text, 'reachflow_commit_duration_seconds_count')).toBeGreaterThan(0);
    expect(sumOf(text, 'reachflow_webhook_requests_total', 'status="202"')).toBe(EVENTS);
    expect(sumOf(text, 'reachflow_task_state', 'state="running"')).toBeGreaterThanOrEqual(4);
    // Their number grows once they are written to the backend, up to 30 s later.
    expect(text).toMatch(/^reachflow_state_entries\{pipeline="events",subtopology="webhooks"/m);
    const report = processReportSchema.parse(await (await fetch(`${url}/status`)).json());
    expect(report.process.pid).toBe(running.pid);
    const received = report.tasks.flatMap(({ inputs }) =>
      inputs.filter(({ topic }) => topic === 'webhook.received'),
    );
    expect(received.reduce((sum, { position = 0 }) => sum + position, 0)).toBeGreaterThan(0);
    expect(running.log).not.toContain('hunter2-payload');
    expect(running.log).not.toContain(SECRET);
    expect(await running.end('SIGTERM')).toBe(0);
  });
});
