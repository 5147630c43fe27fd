import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Connector } from './connector.ts';

/**
 * What every connector must do, run by each implementation's tests against what it really talks to.
 * @param make builds a connector that is not started; called once.
 * @param timeoutMs most time that one start or stop may take.
 */
export function describeConnectorConformance(
  name: string,
  make: () => Connector | Promise<Connector>,
  timeoutMs = 30_000,
): void {
  describe(`connector contract: ${name}`, () => {
    let connector: Connector;

    beforeAll(async () => {
      connector = await make();
    }, timeoutMs);
    afterAll(async () => {
      await connector.stop();
    }, timeoutMs);

    it('says which topics it fills, and that it is stopped before its start', async () => {
      expect(connector.topics.length).toBeGreaterThan(0);
      expect(new Set(connector.topics).size).toBe(connector.topics.length);
      expect(await connector.status()).toMatchObject({ name: connector.name, state: 'stopped' });
    });

    it('can be stopped before it was started', { timeout: timeoutMs }, async () => {
      await connector.stop();
      expect((await connector.status()).state).toBe('stopped');
    });

    it('is running once start has resolved, and start is idempotent', {
      timeout: 2 * timeoutMs,
    }, async () => {
      await Promise.all([connector.start(), connector.start()]);
      const first = await connector.status();
      expect(first.state).toBe('running');
      expect(first.detail).not.toBe('');
      await connector.start();
      expect(await connector.status()).toEqual(first);
    });

    it('is stopped once stop has resolved, and stop is idempotent', {
      timeout: 2 * timeoutMs,
    }, async () => {
      await Promise.all([connector.stop(), connector.stop()]);
      expect((await connector.status()).state).toBe('stopped');
      await connector.stop();
      expect((await connector.status()).state).toBe('stopped');
    });

    it('can be started again', { timeout: 2 * timeoutMs }, async () => {
      await connector.start();
      expect((await connector.status()).state).toBe('running');
    });
  });
}
