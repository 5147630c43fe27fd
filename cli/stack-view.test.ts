import { describe, expect, it } from 'vitest';
import type { StackStatus } from '../compose/types.ts';
import { eventLine, statusTable } from './stack-view.ts';

describe('eventLine', () => {
  it('says what, which step, for how long and how far', () => {
    expect(
      eventLine({
        component: 'kafka',
        phase: 'provision',
        status: 'working',
        message: '37 files, 61.2 MB fetched; kafka-clients-4.3.1.jar',
        elapsedMs: 12_340,
      }),
    ).toBe(
      '… kafka          provision   12.3 s  37 files, 61.2 MB fetched; kafka-clients-4.3.1.jar',
    );
  });
});

describe('statusTable', () => {
  it('shows every component and the sum of memory', () => {
    const url = 'http://127.0.0.1:1';
    const status: StackStatus = {
      engine: 'embedded',
      endpoints: {
        kafka: { brokers: ['127.0.0.1:1'] },
        registry: { url },
        connect: { url },
        postgres: { url },
        clickhouse: { url, username: '', password: '', database: '' },
        elasticsearch: { url },
      },
      components: [
        {
          name: 'kafka',
          version: '4.3.1',
          endpoint: '127.0.0.1:1',
          state: 'running',
          pid: 5,
          rssBytes: 300 * 1024 * 1024,
          startedInMs: 2_900,
        },
        {
          name: 'postgres',
          version: '18.4',
          endpoint: 'postgres://app:app@127.0.0.1:2/app',
          state: 'stopped',
          pid: undefined,
          rssBytes: undefined,
          startedInMs: undefined,
        },
      ],
    };
    const text = statusTable(status);
    expect(text).toMatch(/kafka +4\.3\.1 +127\.0\.0\.1:1 +running +300 MiB +2\.9 s/);
    expect(text).toMatch(/postgres +18\.4 +\S+ +stopped/);
    expect(text).toContain('Memory in all: 300 MiB');
  });
});
