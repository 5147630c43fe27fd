import { createServer } from 'node:net';
import { describe, expect, it } from 'vitest';
import { choosePorts, isPortFree, portNames } from './ports.ts';

const nothing = new Set<never>();
const allFree = async (): Promise<boolean> => true;

describe('choosePorts', () => {
  it('gives each listener a port of its own, below the ephemeral range', async () => {
    const ports = Object.values(await choosePorts('/a', {}, nothing, allFree));
    expect(new Set(ports).size).toBe(portNames.length);
    for (const port of ports) {
      expect(port).toBeGreaterThanOrEqual(20_000);
      expect(port).toBeLessThan(32_768);
    }
  });

  it('is stable for a directory and different for another', async () => {
    const one = await choosePorts('/a', {}, nothing, allFree);
    expect(await choosePorts('/a', {}, nothing, allFree)).toEqual(one);
    expect((await choosePorts('/b', {}, nothing, allFree)).kafka).not.toBe(one.kafka);
  });

  it('keeps earlier ports while they are free and replaces only the one that is not', async () => {
    const before = await choosePorts('/a', {}, nothing, allFree);
    const after = await choosePorts(
      '/elsewhere',
      before,
      nothing,
      async (port) => port !== before.kafka,
    );
    expect(after).toEqual({ ...before, kafka: expect.any(Number) });
    expect(after.kafka).not.toBe(before.kafka);
  });

  it('keeps the ports that a running component of ours is using', async () => {
    const before = await choosePorts('/a', {}, nothing, allFree);
    const mine = new Set(['kafka'] as const);
    const used = new Set<number>([before.kafka, before.kafkaController]);
    const after = await choosePorts('/a', before, mine, async (port) => !used.has(port));
    expect(after).toEqual(before);
  });

  it('says so when no port is left', async () => {
    await expect(choosePorts('/a', {}, nothing, async () => false)).rejects.toMatchObject({
      code: 'STACK_NO_FREE_PORT',
    });
  });
});

describe('isPortFree', () => {
  it('sees a listening server, and that it has gone', async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const address = server.address();
    if (address === null || typeof address === 'string') throw new Error('no port');
    expect(await isPortFree(address.port)).toBe(false);
    await new Promise((resolve) => server.close(resolve));
    expect(await isPortFree(address.port)).toBe(true);
  });
});
