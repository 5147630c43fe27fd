import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { githubScheme, signGithub } from './github.ts';
import { hmacScheme, signHmac } from './hmac.ts';
import type { SignatureScheme } from './scheme.ts';

const NOW = 1_768_478_400_000;
const SECRET = 'correct-horse-battery-staple';

const cases: readonly {
  scheme: SignatureScheme;
  signatureHeader: string;
  deliveryHeader: string;
  sign: (body: Uint8Array, secret: string) => Record<string, string>;
}[] = [
  {
    scheme: hmacScheme,
    signatureHeader: 'x-reachflow-signature',
    deliveryHeader: 'x-reachflow-delivery',
    sign: (body, secret) =>
      signHmac({ secret, body, deliveryId: 'd-1', eventType: 'order.paid', timestampMs: NOW }),
  },
  {
    scheme: githubScheme,
    signatureHeader: 'x-hub-signature-256',
    deliveryHeader: 'x-github-delivery',
    sign: (body, secret) => signGithub({ secret, body, deliveryId: 'd-1', event: 'order.paid' }),
  },
];

describe.each(cases)('scheme $scheme.name', ({ scheme, signatureHeader, deliveryHeader, sign }) => {
  const check = (headers: Record<string, string>, rawBody: Uint8Array, secrets = [SECRET]) =>
    scheme.verify({ headers, rawBody, secrets, nowMs: NOW, windowMs: 300_000 });

  it('accepts what it signed, with any of the active secrets', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 200 }),
        fc.string({ minLength: 16 }),
        (body, secret) => {
          const verified = check(sign(body, secret), body, ['another-secret-entirely', secret]);
          expect(verified).toMatchObject({ ok: true, deliveryId: 'd-1', eventType: 'order.paid' });
        },
      ),
    );
  });

  it('refuses a body with one bit flipped', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 200 }), fc.nat(), (body, n) => {
        const flipped = Uint8Array.from(body);
        const at = n % body.length;
        flipped[at] = (flipped[at] ?? 0) ^ (1 << (n % 8));
        expect(check(sign(body, SECRET), flipped)).toMatchObject({ ok: false, status: 401 });
      }),
    );
  });

  it('refuses a signature header with one character changed', () => {
    const body = Buffer.from('{"id":1}');
    const headers = sign(body, SECRET);
    const good = headers[signatureHeader] ?? '';
    fc.assert(
      fc.property(fc.nat(good.length - 1), fc.integer({ min: 0x21, max: 0x7e }), (at, code) => {
        const changed = good.slice(0, at) + String.fromCharCode(code) + good.slice(at + 1);
        fc.pre(changed !== good);
        const verified = check({ ...headers, [signatureHeader]: changed }, body);
        expect(verified).toMatchObject({ ok: false, status: 401 });
      }),
    );
  });

  it('refuses a missing signature, an unknown secret and a retired one', () => {
    const body = Buffer.from('{}');
    const { [signatureHeader]: _signature, ...unsigned } = sign(body, SECRET);
    expect(check(unsigned, body)).toMatchObject({ status: 401, code: 'SIGNATURE_MISSING' });
    expect(check(sign(body, SECRET), body, ['a-newer-secret-only'])).toMatchObject({
      status: 401,
      code: 'SIGNATURE_MISMATCH',
    });
  });

  it.each([
    ['absent', undefined],
    ['empty', ''],
    ['sent twice', 'd-1, d-2'],
    ['too long', 'x'.repeat(201)],
    ['not ASCII', 'd-é'],
  ])('refuses a delivery id that is %s with 400', (_what, id) => {
    const body = Buffer.from('{}');
    const headers: Record<string, string> = { ...sign(body, SECRET) };
    delete headers[deliveryHeader];
    if (id !== undefined) headers[deliveryHeader] = id;
    expect(check(headers, body)).toMatchObject({ status: 400, code: 'DELIVERY_ID_MISSING' });
  });
});

describe('github scheme', () => {
  it("makes the signature of GitHub's documentation", () => {
    const headers = signGithub({
      secret: "It's a Secret to Everybody",
      body: 'Hello, World!',
      deliveryId: 'd-1',
      event: 'push',
    });
    expect(headers['x-hub-signature-256']).toBe(
      'sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17',
    );
  });
});

describe('hmac scheme', () => {
  const body = Buffer.from('{"id":1}');
  const sign = (timestampMs: number, secret = SECRET) =>
    signHmac({ secret, body, deliveryId: 'd-1', eventType: 'e', timestampMs });
  const check = (headers: Record<string, string>) =>
    hmacScheme.verify({ headers, rawBody: body, secrets: [SECRET], nowMs: NOW, windowMs: 300_000 });

  // echo -n '1768478400.d-1.e.{"id":1}' | openssl dgst -sha256 -hmac 'correct-horse-battery-staple'
  it('makes the signature that openssl makes', () => {
    expect(sign(NOW)['x-reachflow-signature']).toBe(
      't=1768478400,v1=1dea2720ebea25d110dcc6ecff2570ab6107edde1181a0908e7529764a9906c1',
    );
  });

  it.each([
    [-300_000, true],
    [300_000, true],
    [-301_000, false],
    [301_000, false],
  ])('with the timestamp %d ms from our clock: accepted is %s', (offset, accepted) => {
    const verified = check(sign(NOW + offset));
    if (accepted) expect(verified).toMatchObject({ ok: true, occurredAt: NOW + offset });
    else expect(verified).toMatchObject({ status: 401, code: 'TIMESTAMP_OUTSIDE_WINDOW' });
  });

  it('refuses a timestamp that is not the signed one', () => {
    const stale = sign(NOW - 3_600_000);
    const renewed = stale['x-reachflow-signature']?.replace(/t=\d+/, `t=${NOW / 1_000}`) ?? '';
    expect(check({ ...stale, 'x-reachflow-signature': renewed })).toMatchObject({
      code: 'SIGNATURE_MISMATCH',
    });
  });

  it.each(['x-reachflow-delivery', 'x-reachflow-event'])(
    'refuses another %s than the signed one',
    (name) => {
      expect(check({ ...sign(NOW), [name]: 'other' })).toMatchObject({
        code: 'SIGNATURE_MISMATCH',
      });
    },
  );

  it('accepts one good signature among several, and a field of a later version', () => {
    const old = sign(NOW, 'the-secret-before-the-rotation')['x-reachflow-signature'] ?? '';
    const good = (sign(NOW)['x-reachflow-signature'] ?? '').replace(/^t=\d+,/, '');
    const headers = { ...sign(NOW), 'x-reachflow-signature': `${old},${good},v2=abc` };
    expect(check(headers)).toMatchObject({ ok: true });
  });

  it.each([
    't=1768478400',
    'v1=00',
    't=,v1=',
    't=1e9,v1=00',
    't=1768478400,t=1768478400',
    `t=1768478400,${Array.from({ length: 9 }, () => `v1=${'0'.repeat(64)}`).join(',')}`,
    `t=1768478400,v1=${'0'.repeat(2_000)}`,
  ])('refuses the malformed header %s', (header) => {
    expect(check({ ...sign(NOW), 'x-reachflow-signature': header })).toMatchObject({
      status: 401,
      code: 'SIGNATURE_MISSING',
    });
  });
});
