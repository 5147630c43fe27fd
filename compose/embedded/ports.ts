import { createHash } from 'node:crypto';
import { createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { ReachflowError } from '../../runtime/errors.ts';
import type { ComponentName } from '../types.ts';

/** Every port that the embedded engines listen on, and whose it is. */
export const portOwners = {
  kafka: 'kafka',
  kafkaController: 'kafka',
  registry: 'registry',
  connect: 'connect',
  postgres: 'postgres',
  clickhouse: 'clickhouse',
  clickhouseTcp: 'clickhouse',
  elasticsearch: 'elasticsearch',
  elasticsearchTransport: 'elasticsearch',
} as const satisfies Record<string, ComponentName>;

export type PortName = keyof typeof portOwners;
export type Ports = Readonly<Record<PortName, number>>;
export const portNames = Object.keys(portOwners) as PortName[];

/** Below Linux's ephemeral range (32768 and up), so that no outgoing connection takes a port we chose. */
const FIRST_PORT = 20_000;
const BLOCK = 10;
const BLOCKS = 1_200;

/**
 * Choose ports on 127.0.0.1. A port of `previous` is kept while it is free, or in use by a component that is
 * ours and running. New ones start at a place that depends on the directory: two stacks started at the same
 * moment look at different ports.
 * @throws ReachflowError `STACK_NO_FREE_PORT` when none is left.
 */
export async function choosePorts(
  dir: string,
  previous: Partial<Ports>,
  running: ReadonlySet<ComponentName>,
  isFree: (port: number) => Promise<boolean> = isPortFree,
): Promise<Ports> {
  const taken = new Set<number>();
  const chosen: Partial<Record<PortName, number>> = {};
  for (const name of portNames) {
    const port = previous[name];
    if (port === undefined) continue;
    if (running.has(portOwners[name]) || (await becomesFree(port, isFree))) {
      chosen[name] = port;
      taken.add(port);
    }
  }
  const candidates = candidatePorts(dir);
  for (const name of portNames) chosen[name] ??= await nextFree(candidates, taken, isFree);
  return chosen as Ports;
}

const RELEASE_TRIES = 5;
const RELEASE_POLL_MS = 100;

/** A port that its last user has just given up may take a moment; moving an engine would be worse. */
async function becomesFree(
  port: number,
  isFree: (port: number) => Promise<boolean>,
): Promise<boolean> {
  for (let attempt = 0; attempt < RELEASE_TRIES; attempt++) {
    if (await isFree(port)) return true;
    await sleep(RELEASE_POLL_MS);
  }
  return false;
}

async function nextFree(
  candidates: Iterator<number>,
  taken: ReadonlySet<number>,
  isFree: (port: number) => Promise<boolean>,
): Promise<number> {
  for (let next = candidates.next(); next.done !== true; next = candidates.next()) {
    if (!taken.has(next.value) && (await isFree(next.value))) return next.value;
  }
  throw new ReachflowError(
    `No free port between ${FIRST_PORT} and ${FIRST_PORT + BLOCK * BLOCKS} on 127.0.0.1`,
    { code: 'STACK_NO_FREE_PORT', domain: 'user', hint: 'Stop other local servers and try again.' },
  );
}

function* candidatePorts(dir: string): Generator<number, undefined> {
  const start = createHash('sha256').update(dir).digest().readUInt32BE(0) % BLOCKS;
  for (let block = 0; block < BLOCKS; block++) {
    const first = FIRST_PORT + ((start + block) % BLOCKS) * BLOCK;
    for (let port = first; port < first + BLOCK; port++) yield port;
  }
}

/** Can a server bind this port of 127.0.0.1 now? */
export function isPortFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen({ port, host: '127.0.0.1', exclusive: true }, () =>
      server.close(() => resolve(true)),
    );
  });
}
