import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startProxyTo, type TcpProxy } from '../../tests/support/tcp-proxy.ts';
import {
  provisionS3Server,
  type S3Server,
  startS3Server,
} from '../checkpoint/testing/s3-server.ts';
import { claimCheckConfigSchema } from './config.ts';
import { openClaims } from './open.ts';
import { sweepClaims } from './sweep.ts';

const DAY_MS = 86_400_000;
const provisioned = await provisionS3Server();
const program = 'program' in provisioned ? provisioned.program : undefined;
const why = 'missing' in provisioned ? ` (skipped: ${provisioned.missing})` : '';

describe.skipIf(program === undefined)(`payloads in S3${why}`, () => {
  let server: S3Server;
  let proxy: TcpProxy;

  beforeAll(async () => {
    server = await startS3Server(program ?? '');
    proxy = await startProxyTo(server.endpoint, 80);
  });
  afterAll(async () => {
    await proxy.close();
    await server.stop();
  });

  function open(prefix: string) {
    const { accessKeyId, secretAccessKey, bucket } = server;
    const endpoint = `http://${proxy.host}:${proxy.port}`;
    const access = { endpoint, accessKeyId, secretAccessKey, bucket, forcePathStyle: true };
    const s3 = { ...access, prefix, requestTimeoutMs: 300, maxAttempts: 1 };
    const settings = { storage: 's3', s3, writeTimeoutMs: 2_000, cacheBytes: 0 };
    const claims = openClaims(claimCheckConfigSchema.parse(settings), pino({ level: 'silent' }));
    const { writer } = claims;
    if (writer === undefined) throw new Error('the claim check is off');
    return { ...claims, writer };
  }

  it('are written by one process and read by another, and removed in their time', async () => {
    const [{ writer, storage }, { reader }] = [open('a/b'), open('a/b')];
    const payloads = Array.from({ length: 20 }, (_, i) => `${i}é`.repeat(5_000 * (i + 1)));
    const refs = await Promise.all(
      [...payloads, payloads[0] ?? ''].map((text) => writer.store(text)),
    );
    expect(refs.at(-1)).toEqual(refs[0]);
    for (const [i, ref] of refs.entries()) {
      if (ref === undefined) throw new Error(`payload ${i} was not stored`);
      expect((await reader.read(ref)) === (payloads[i] ?? payloads[0])).toBe(true);
    }
    expect(await sweepClaims(storage, { retentionDays: 21, now: Date.now() })).toMatchObject({
      objects: 0,
    });
    const later = { retentionDays: 21, now: Date.now() + 23 * DAY_MS };
    expect(await sweepClaims(storage, later)).toMatchObject({ objects: payloads.length });
    const [gone] = refs;
    const missing = gone === undefined ? Promise.resolve('') : reader.read(gone);
    await expect(missing).rejects.toMatchObject({ code: 'CLAIM_NOT_FOUND', retry: 'backoff' });
  });

  it('are waited for by readers, and stay in the topic, while S3 hangs', async () => {
    const { writer, reader } = open('hangs');
    const ref = await writer.store('x'.repeat(9_000));
    if (ref === undefined) throw new Error('the payload was not stored');
    proxy.freeze();
    await expect(reader.read(ref)).rejects.toMatchObject({
      code: 'CLAIM_STORAGE_UNAVAILABLE',
      retry: 'backoff',
    });
    expect(await writer.store('y'.repeat(9_000))).toBeUndefined();
    proxy.thaw();
    expect(await reader.read(ref)).toBe('x'.repeat(9_000));
  });
});
