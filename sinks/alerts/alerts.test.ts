import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { pino } from 'pino';
import { SMTPServer } from 'smtp-server';
import { afterEach, describe, expect, it } from 'vitest';
import type { RecordResult, Sink, SinkRecord } from '../../runtime/delivery/sink.ts';
import type { AlertRaised } from '../../schemas/types.ts';
import { batchOf } from '../fixtures.ts';
import { alertActions, createAlertSink } from './actions.ts';
import { alertsConfigSchema } from './config.ts';

const NOW = Date.now();

function alert(change: Partial<AlertRaised> = {}): AlertRaised {
  return {
    alert_id: 'suspicious_activity:acme:1',
    pattern: 'suspicious_activity',
    severity: 'critical',
    tenant_id: 'acme',
    subject: 'acme',
    started_at: NOW - 60_000,
    raised_at: NOW,
    count: 120,
    summary: 'Tenant acme had 120 API calls in 50 s.',
    ...change,
  };
}

function recordOf(value: AlertRaised, offset = 0n): SinkRecord {
  const fields = value as unknown as SinkRecord['value'];
  const at = { topic: 'alert.raised', partition: 0, offset, timestamp: NOW };
  return { ...at, key: value.tenant_id, value: fields, version: 0n };
}

/** The sink of one action, as `alerts.actions` configures it. */
function sinkOf(kind: string, settings: object): Sink {
  const { actions } = alertsConfigSchema.parse({ actions: { [kind]: settings } });
  const action = alertActions.find(({ name }) => name === `alert-${kind}`);
  if (action === undefined) throw new Error(kind);
  const deps = { logger: pino({ level: 'silent' }), parts: ['alerts'] as const };
  const sink = createAlertSink(action, actions, deps);
  if (sink === undefined) throw new Error(`${kind} is not configured`);
  return sink;
}

async function deliver(sink: Sink, value = alert()): Promise<RecordResult> {
  const [result] = await sink.write(batchOf([recordOf(value)]));
  if (result === undefined) throw new Error('no result');
  return result;
}

interface Got {
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
}

const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

/** An HTTP server that keeps what it gets, and answers as `answer` does. */
async function receiver(answer: (response: ServerResponse) => void) {
  const got: Got[] = [];
  const server: Server = createServer((request, response) => {
    let body = '';
    request.setEncoding('utf8').on('data', (text: string) => {
      body += text;
    });
    request.on('end', () => {
      got.push({ headers: request.headers, body });
      answer(response);
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  closing.push(() => {
    server.closeAllConnections();
    server.close();
  });
  return { got, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook` };
}

const status =
  (code: number, body = 'ok') =>
  (response: ServerResponse) =>
    void response.writeHead(code).end(body);

describe('an alert by HTTP', () => {
  it('is an incident of PagerDuty, one for each alert id', async () => {
    const { url, got } = await receiver(status(202, '{"status":"success"}'));
    const sink = sinkOf('pagerduty', { routingKey: 'R0', url });
    expect(await deliver(sink)).toEqual({ status: 'delivered' });
    await deliver(sink);
    await deliver(sink, alert({ alert_id: `suspicious_activity:${'x'.repeat(300)}:1` }));
    const [first, again, long] = got.map(({ body }) => JSON.parse(body) as Record<string, unknown>);
    expect(first).toMatchObject({
      routing_key: 'R0',
      event_action: 'trigger',
      dedup_key: 'suspicious_activity:acme:1',
      payload: { severity: 'critical', source: 'acme', summary: alert().summary },
    });
    expect(again).toEqual(first);
    expect(String(long?.['dedup_key'])).toHaveLength(64);
    expect(sink.mode).toBe('idempotent');
  });

  it('is a message of Slack, in which no tenant can call a channel', async () => {
    const { url, got } = await receiver(status(200));
    await deliver(
      sinkOf('slack', { url }),
      alert({ tenant_id: '<!channel> & co', summary: '<b>' }),
    );
    const { text } = JSON.parse(got[0]?.body ?? '') as { text: string };
    expect(text).toContain('&lt;!channel&gt; &amp; co');
    expect(text).not.toMatch(/[<>]/);
  });

  it('is a request with its id as key, and signed', async () => {
    const { url, got } = await receiver(status(204));
    const secret = `whsec_${Buffer.from('k'.repeat(24)).toString('base64')}`;
    const headers = { authorization: 'Bearer t' };
    const sink = sinkOf('webhook', { url, signingSecret: secret, headers });
    await deliver(sink, alert({ alert_id: 'abandoned_import:Ünïcode "x"\r\ny:1' }));
    const { headers: sent, body } = got[0] ?? { headers: {}, body: '' };
    expect(sent['authorization']).toBe('Bearer t');
    const id = 'abandoned_import:%C3%9Cn%C3%AFcode%20%22x%22%0D%0Ay:1';
    expect(sent['idempotency-key']).toBe(`"${id}"`);
    const { createHmac } = await import('node:crypto');
    const signed = `${id}.${sent['webhook-timestamp']}.${body}`;
    const mac = createHmac('sha256', 'k'.repeat(24)).update(signed).digest('base64');
    expect(sent['webhook-signature']).toBe(`v1,${mac}`);
    expect(JSON.parse(body)).toMatchObject({ type: 'alert.raised', data: { count: 120 } });
  });

  it('is a ticket in whatever form is asked for; what is filled in is not looked at again', async () => {
    const { url, got } = await receiver(status(201));
    const body = {
      fields: { project: { key: 'OPS' }, summary: '{title}', labels: ['{pattern}', '{unknown}'] },
      priority: 2,
    };
    await deliver(sinkOf('ticket', { url, body }), alert({ tenant_id: '{alert_id}' }));
    expect(JSON.parse(got[0]?.body ?? '')).toEqual({
      fields: {
        project: { key: 'OPS' },
        summary: '[critical] Suspicious activity: {alert_id}',
        labels: ['suspicious_activity', '{unknown}'],
      },
      priority: 2,
    });
    expect(got[0]?.headers['idempotency-key']).toBe('"suspicious_activity:acme:1"');
  });

  it.each([429, 500, 502, 503, 408, 301, 401, 403, 404, 410])(
    'waits for a receiver that answers %i',
    async (code) => {
      const { url } = await receiver(status(code, 'not now'));
      const result = await deliver(sinkOf('slack', { url }));
      expect(result).toMatchObject({
        status: 'retry',
        of: 'store',
        error: { code: 'ALERT_CHANNEL_AWAY', retry: 'backoff' },
      });
    },
  );

  it.each([400, 413, 422])('is dead-lettered by %i, with what was said', async (code) => {
    const { url } = await receiver(status(code, 'invalid_payload'));
    const result = await deliver(sinkOf('slack', { url }));
    expect(result).toMatchObject({ status: 'rejected', error: { code: 'ALERT_REJECTED' } });
    expect('error' in result && result.error.message).toContain('invalid_payload');
  });

  it('is delivered by a status of success, whatever garbage comes with it', async () => {
    const { url } = await receiver((response) => {
      response.writeHead(200, { 'content-type': 'application/json' });
      response.write('\0{"garb');
      // Never ends.
    });
    expect(await deliver(sinkOf('slack', { url }))).toEqual({ status: 'delivered' });
  });

  it('reads no more of a refusal than people will', async () => {
    const { url } = await receiver(status(400, `a\u001b[31m${'x'.repeat(5_000_000)}`));
    const result = await deliver(sinkOf('slack', { url }));
    expect('error' in result && result.error.message.length).toBeLessThan(500);
    expect('error' in result && result.error.message).not.toContain('\u001b');
  });

  it('waits for a receiver that is slow, cuts off, speaks no HTTP or is not there; the URL stays secret', async () => {
    const slow = await receiver(() => undefined);
    const cut = await receiver((response) => response.socket?.destroy());
    const garbage = await receiver((response) => response.socket?.end('no HTTP at all\r\n\r\n'));
    const urls = [slow.url, cut.url, garbage.url, 'http://127.0.0.1:1/hook'];
    for (const url of urls) {
      const result = await deliver(sinkOf('slack', { url: `${url}/T0/secret`, timeoutMs: 300 }));
      expect(result).toMatchObject({ status: 'retry', of: 'store' });
      expect('error' in result && result.error.message).not.toContain('secret');
    }
  });
});

describe('which alerts go somewhere', () => {
  it('are those of its patterns and severities, that are not too old', async () => {
    const { url, got } = await receiver(status(200));
    const sink = sinkOf('slack', {
      url,
      patterns: ['suspicious_activity', 'abandoned_import'],
      severities: ['critical'],
      maxAgeHours: 2,
    });
    await deliver(sink, alert({ pattern: 'data_quality_issue' }));
    await deliver(sink, alert({ severity: 'warning' }));
    expect(await deliver(sink, alert({ raised_at: NOW - 3 * 3_600_000 }))).toEqual({
      status: 'delivered',
    });
    expect(got).toEqual([]);
    await deliver(sink, alert({ raised_at: NOW - 3_600_000 }));
    expect(got).toHaveLength(1);
  });

  it('are none where an action is not configured, or no alerts are raised', () => {
    const { actions } = alertsConfigSchema.parse({ actions: { slack: { url: 'http://s' } } });
    const logger = pino({ level: 'silent' });
    const made = (parts: readonly 'alerts'[]) =>
      alertActions.flatMap((each) => createAlertSink(each, actions, { logger, parts })?.name ?? []);
    expect(made(['alerts'])).toEqual(['alert-slack']);
    expect(made([])).toEqual([]);
  });

  it('are rejected when they are none', async () => {
    const sink = sinkOf('slack', { url: 'http://127.0.0.1:1' });
    const bad = { ...recordOf(alert()), value: { alert_id: 7 } };
    const [result] = await sink.write(batchOf([bad]));
    expect(result).toMatchObject({ status: 'rejected', error: { code: 'INVALID_RECORD' } });
    expect(sink.check?.({ ...bad, value: null })?.message).toContain('no value');
  });
});

describe('an alert by mail', () => {
  /** A mail server that keeps what it gets, or refuses as it is told. */
  async function mailServer(options: ConstructorParameters<typeof SMTPServer>[0] = {}) {
    const got: string[] = [];
    const server = new SMTPServer({
      disabledCommands: ['AUTH', 'STARTTLS'],
      closeTimeout: 100,
      logger: false,
      onData(stream, _session, done) {
        let mail = '';
        stream.on('data', (bytes: Buffer) => {
          mail += bytes.toString('utf8');
        });
        stream.on('end', () => {
          got.push(mail);
          done();
        });
      },
      ...options,
    });
    server.on('error', () => undefined);
    server.listen(0, '127.0.0.1');
    await once(server.server, 'listening');
    closing.push(() => new Promise<void>((resolve) => server.close(() => resolve())));
    const { port } = server.server.address() as AddressInfo;
    const email = { url: `smtp://127.0.0.1:${port}`, to: ['ops@example.com'], timeoutMs: 2_000 };
    return { got, email };
  }

  const refusal = (message: string, responseCode: number) =>
    Object.assign(new Error(message), { responseCode });

  it('has the same Message-ID each time, and no header of a tenant’s making', async () => {
    const { got, email } = await mailServer();
    const sink = sinkOf('email', { ...email, from: 'flow@example.com' });
    const evil = alert({ tenant_id: 'acme\r\nBcc: all@example.com' });
    expect(await deliver(sink, evil)).toEqual({ status: 'delivered' });
    await deliver(sink, evil);
    await sink.close();
    const ids = got.map((mail) => /^Message-ID:\s+(.*)$/im.exec(mail)?.[1]);
    expect(ids[0]).toMatch(/^<[0-9a-f]{32}@reachflow>/);
    expect(ids[1]).toBe(ids[0]);
    expect(got[0]).not.toMatch(/^Bcc:/m);
    expect(got[0]).toMatch(/^Subject: .*Suspicious activity: acme/m);
    expect(got[0]).toMatch(/^To: ops@example.com/m);
  });

  it('waits for a server that is away, hangs, takes no such recipient, or wants it later', async () => {
    const busy = await mailServer({
      onMailFrom: (_address, _session, done) => done(refusal('busy', 451)),
    });
    const unknown = await mailServer({
      onRcptTo: (_address, _session, done) => done(refusal('no such user', 550)),
    });
    const hanging = await mailServer({ onConnect: () => undefined });
    const gone = { ...busy.email, url: 'smtp://127.0.0.1:1' };
    for (const email of [busy.email, unknown.email, { ...hanging.email, timeoutMs: 300 }, gone]) {
      const sink = sinkOf('email', email);
      expect(await deliver(sink)).toMatchObject({ status: 'retry', of: 'store' });
      await sink.close();
    }
    const sink = sinkOf('email', { ...busy.email, requireTls: true });
    expect(await deliver(sink)).toMatchObject({ status: 'retry', of: 'store' });
    await sink.close();
  });

  it('is dead-lettered when the server refuses its content', async () => {
    const { email } = await mailServer({
      onData(stream, _session, done) {
        stream.resume();
        stream.on('end', () => done(refusal('looks like spam', 554)));
      },
    });
    const sink = sinkOf('email', email);
    const result = await deliver(sink);
    expect(result).toMatchObject({ status: 'rejected', error: { code: 'ALERT_REJECTED' } });
    await sink.close();
  });
});
