import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { pino } from 'pino';
import { describe, expect, it, vi } from 'vitest';
import { alertBody, RejectAlert } from './alert.ts';
import { type Clock, systemClock } from './clock.ts';
import { deliveryConfigSchema } from './config.ts';

const logger = pino({ level: 'silent' });
const { alert } = deliveryConfigSchema.parse({ alert: { url: 'http://127.0.0.1/hook' } });

class HandClock implements Clock {
  at = 1_000_000;
  now = () => this.at;
  sleep = async () => undefined;
  random = () => 0.5;
}

function watched(post: (url: string, body: string) => Promise<void>) {
  const clock = new HandClock();
  return { clock, watch: new RejectAlert('postgres', alert, { clock, logger, post }) };
}

describe('the alert of a sink that rejects', () => {
  it('is raised once at 5 % of 100 records, and resolved once', async () => {
    const bodies: string[] = [];
    const { clock, watch } = watched(async (_url, body) => void bodies.push(body));
    watch.count(99, 40);
    expect(bodies).toEqual([]);
    watch.count(1, 0);
    watch.count(50, 50);
    clock.at += 61_000;
    watch.check();
    watch.count(200, 9);
    await vi.waitFor(() => expect(bodies).toHaveLength(2));
    const parsed = bodies.map((body) => JSON.parse(body) as unknown);
    expect(parsed).toMatchObject([
      { alert: 'sink-rejects', sink: 'postgres', state: 'firing', records: 100, rejected: 40 },
      { state: 'resolved', records: 0, rejected: 0 },
    ]);
    watch.close();
  });

  it('says nothing below the share, and forgets after a minute', () => {
    const post = vi.fn(async () => undefined);
    const { clock, watch } = watched(post);
    watch.count(60, 50);
    clock.at += 61_000;
    watch.count(1_000, 49);
    expect(post).not.toHaveBeenCalled();
    watch.close();
  });

  it('is tried again, and given up in the end, without holding anybody up', async () => {
    const post = vi.fn(async () => {
      throw new Error('away');
    });
    const { watch } = watched(post);
    watch.count(100, 100);
    await vi.waitFor(() => expect(post).toHaveBeenCalledTimes(3));
    watch.close();
  });

  it('is an HTTP POST, as text for Slack', async () => {
    const received: string[] = [];
    const server = createServer((request, response) => {
      request.on('data', (chunk: Buffer) => received.push(chunk.toString('utf8')));
      request.on('end', () => response.end('ok'));
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    const config = { ...alert, url: `http://127.0.0.1:${port}/`, format: 'slack' as const };
    const watch = new RejectAlert('clickhouse', config, { clock: systemClock, logger });
    watch.count(100, 7);
    await vi.waitFor(() => expect(received).toHaveLength(1));
    expect(JSON.parse(received[0] ?? '')).toEqual({
      text: expect.stringContaining('*clickhouse* rejects 7 of 100 records') as string,
    });
    watch.close();
    await new Promise((resolve) => server.close(resolve));
  });

  it('tells Slack when it is over', () => {
    const message = { sink: 's', state: 'resolved', records: 9, rejected: 0, since: 't' } as const;
    expect(alertBody(message, 'slack')).toContain('is well again');
  });
});
