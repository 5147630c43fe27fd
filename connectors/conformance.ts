import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Connector } from './connector.ts';

/** How the suite gives a connector its input and finds it again: both on the real engines. */
export interface DeliveryHarness {
  /**
   * Gives the source one input per id. Resolves with the ids that were accepted, that is, answered as stored or taken
   * over for good; of a connector that stops meanwhile these may be few or none.
   */
  offer(ids: readonly string[]): Promise<readonly string[]>;
  /** Ids of the committed records of its topics, repeats included, in any order. */
  stored(): Promise<readonly string[]>;
  /**
   * Of a connector whose `stored` is what is left once repeats are dropped: its input may be offered again, and what a
   * crash or brokers that are away do to it is tried, too.
   */
  readonly faults?: DeliveryFaults;
}

/** What a harness can do to its connector, on the real engines. */
export interface DeliveryFaults {
  /** Ends the connector without warning, as SIGKILL does. The suite starts it again. */
  kill(): Promise<void>;
  /** No broker answers while `work` runs. */
  withoutBrokers(work: () => Promise<void>): Promise<void>;
}

/**
 * What every connector must do, run by each implementation's tests against what it really talks to.
 * @param make builds a connector that is not started; called once.
 * @param timeoutMs most time that one start or stop may take.
 * @param delivery of a connector whose input tests can make: what it accepts is in its topics, once.
 */
export function describeConnectorConformance(
  name: string,
  make: () => Connector | Promise<Connector>,
  timeoutMs = 30_000,
  delivery?: () => DeliveryHarness,
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

    if (delivery !== undefined) {
      describeDelivery(delivery(), () => connector, timeoutMs);
    }
  });
}

/**
 * The part of it that is about delivery, for a connector that is a process of its own, too.
 * @param connector what is started and stopped; asked for in each test.
 */
export function describeDelivery(
  harness: DeliveryHarness,
  connector: () => Pick<Connector, 'start' | 'stop'>,
  timeoutMs: number,
): void {
  const accepted: string[] = [];
  const offerAll = async (ids: readonly string[]) => {
    const taken = await harness.offer(ids);
    accepted.push(...taken);
    return taken;
  };
  const offer = async (prefix: string, count: number) => {
    const ids = Array.from({ length: count }, (_, i) => `${prefix}-${i}`);
    return { ids, taken: await offerAll(ids) };
  };
  const expectOnce = async () => {
    const stored = (await harness.stored()).toSorted();
    expect(accepted.filter((id) => !stored.includes(id))).toEqual([]);
    expect(stored.filter((id, i) => id === stored[i - 1])).toEqual([]);
  };

  it('has what it accepted in its topics, once', { timeout: 2 * timeoutMs }, async () => {
    await connector().start();
    const { ids, taken } = await offer('first', 50);
    expect(taken.toSorted()).toEqual(ids.toSorted());
    await expectOnce();
  });

  it('accepts nothing that it loses while it stops', { timeout: 2 * timeoutMs }, async () => {
    const offered = offer('stopping', 200);
    // For the stop to come amid them; nothing depends on where.
    await delay(30);
    await connector().stop();
    await offered;
    await expectOnce();
  });

  it('goes on after a stop, and repeats nothing', { timeout: 2 * timeoutMs }, async () => {
    await connector().start();
    const { ids, taken } = await offer('again', 50);
    expect(taken.toSorted()).toEqual(ids.toSorted());
    await expectOnce();
  });

  const { faults } = harness;
  if (faults === undefined) return;

  it('has once what it is offered again', { timeout: 2 * timeoutMs }, async () => {
    const { ids } = await offer('repeated', 50);
    expect((await offerAll(ids)).toSorted()).toEqual(ids.toSorted());
    await expectOnce();
  });

  it('has what it accepted while no broker answered, once', {
    timeout: 2 * timeoutMs,
  }, async () => {
    await faults.withoutBrokers(async () => {
      const { ids, taken } = await offer('away', 100);
      expect(taken.toSorted()).toEqual(ids.toSorted());
    });
    await expectOnce();
  });

  it('loses nothing to a kill, and counts no retry twice', { timeout: 2 * timeoutMs }, async () => {
    const offered = offer('killed', 400);
    await delay(30);
    await faults.kill();
    const { ids } = await offered;
    await connector().start();
    // As a sender would that has no answer; here all of them.
    expect((await offerAll(ids)).toSorted()).toEqual(ids.toSorted());
    await expectOnce();
  });
}
