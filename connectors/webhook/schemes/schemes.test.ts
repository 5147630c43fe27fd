import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { githubScheme, signGithub } from './github.ts';
import { hmacScheme, signHmac } from './hmac.ts';
import { schemes } from './index.ts';
import type { SignatureScheme } from './scheme.ts';
import { shopifyScheme, signShopify } from './shopify.ts';
import { signSlack, slackScheme } from './slack.ts';
import { signStandardWebhooks, standardWebhooksScheme } from './standard-webhooks.ts';
import { signStripe, stripeScheme } from './stripe.ts';

const NOW = 1_768_478_400_000;
const SECRET = 'correct-horse-battery-staple';
const asKey = (secret: string) => `whsec_${Buffer.from(secret).toString('base64')}`;
const asIs = (secret: string) => secret;

interface Case {
  readonly scheme: SignatureScheme;
  /** Absent where the payload names the delivery. */
  readonly deliveryHeader?: string;
  /** What a random secret is as one of the scheme. */
  readonly asSecret: (secret: string) => string;
  readonly sign: (body: Uint8Array, secret: string) => Record<string, string>;
}

const cases: readonly Case[] = [
  {
    scheme: hmacScheme,
    deliveryHeader: 'x-reachflow-delivery',
    asSecret: asIs,
    sign: (body, secret) =>
      signHmac({ secret, body, deliveryId: 'd-1', eventType: 'order.paid', timestampMs: NOW }),
  },
  {
    scheme: githubScheme,
    deliveryHeader: 'x-github-delivery',
    asSecret: asIs,
    sign: (body, secret) => signGithub({ secret, body, deliveryId: 'd-1', event: 'order.paid' }),
  },
  {
    scheme: shopifyScheme,
    deliveryHeader: 'x-shopify-webhook-id',
    asSecret: asIs,
    sign: (body, secret) =>
      signShopify({ secret, body, webhookId: 'd-1', topic: 'order.paid', shopDomain: 'a.shop' }),
  },
  {
    scheme: standardWebhooksScheme,
    deliveryHeader: 'webhook-id',
    asSecret: asKey,
    sign: (body, secret) => signStandardWebhooks({ secret, body, id: 'd-1', timestampMs: NOW }),
  },
  {
    scheme: stripeScheme,
    asSecret: asIs,
    sign: (body, secret) => signStripe({ secret, body, timestampMs: NOW }),
  },
  {
    scheme: slackScheme,
    asSecret: asIs,
    sign: (body, secret) => signSlack({ secret, body, timestampMs: NOW }),
  },
];

it('every scheme is one of the cases below', () => {
  expect(new Set(cases.map(({ scheme }) => scheme))).toEqual(new Set(Object.values(schemes)));
  for (const [name, scheme] of Object.entries(schemes)) expect(scheme.name).toBe(name);
});

describe.each(cases)('scheme $scheme.name', ({ scheme, deliveryHeader, asSecret, sign }) => {
  const { signatureHeader } = scheme;
  const key = asSecret(SECRET);
  const check = (headers: Record<string, string>, rawBody: Uint8Array, secrets = [key]) =>
    scheme.verify({ headers, rawBody, secrets, nowMs: NOW, windowMs: 300_000 });

  it('accepts what it signed, with any of the active secrets', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 200 }),
        fc.string({ minLength: 16, maxLength: 40 }).map(asSecret),
        (body, secret) => {
          const secrets = [asSecret('another-secret-entirely'), secret];
          const verified = check(sign(body, secret), body, secrets);
          const deliveryId = deliveryHeader === undefined ? undefined : 'd-1';
          expect(verified).toMatchObject({ ok: true, deliveryId });
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
        expect(check(sign(body, key), flipped)).toMatchObject({ ok: false, status: 401 });
      }),
    );
  });

  it('refuses a signature header with one character changed', () => {
    const body = Buffer.from('{"id":1}');
    const headers = sign(body, key);
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
    const { [signatureHeader]: _signature, ...unsigned } = sign(body, key);
    expect(check(unsigned, body)).toMatchObject({ status: 401, code: 'SIGNATURE_MISSING' });
    expect(check(sign(body, key), body, [asSecret('a-newer-secret-only')])).toMatchObject({
      status: 401,
      code: 'SIGNATURE_MISMATCH',
    });
    expect(check(sign(body, key), body, [])).toMatchObject({ code: 'SIGNATURE_MISMATCH' });
  });

  it('refuses whatever a signature header holds, and does not throw', () => {
    const body = Buffer.from('{}');
    const text = fc.string({ unit: fc.constantFrom(...'tv01a=,. +/Az9') });
    fc.assert(
      fc.property(fc.oneof(fc.string(), text, fc.constant('x'.repeat(5_000))), (value) => {
        const verified = check({ ...sign(body, key), [signatureHeader]: value }, body);
        expect(verified).toMatchObject({ ok: false, status: 401 });
      }),
    );
  });
});

describe.each(
  cases.flatMap(({ deliveryHeader, ...rest }) =>
    deliveryHeader === undefined ? [] : [{ ...rest, deliveryHeader }],
  ),
)('scheme $scheme.name, which names the delivery in $deliveryHeader', (each) => {
  it.each([
    ['absent', undefined],
    ['empty', ''],
    ['sent twice', 'd-1, d-2'],
    ['too long', 'x'.repeat(201)],
    ['not ASCII', 'd-é'],
  ])('refuses an id that is %s with 400', (_what, id) => {
    const rawBody = Buffer.from('{}');
    const secret = each.asSecret(SECRET);
    const { [each.deliveryHeader]: _id, ...rest } = each.sign(rawBody, secret);
    const headers = id === undefined ? rest : { ...rest, [each.deliveryHeader]: id };
    const verified = each.scheme.verify({
      headers,
      rawBody,
      secrets: [secret],
      nowMs: NOW,
      windowMs: 300_000,
    });
    expect(verified).toMatchObject({ status: 400, code: 'DELIVERY_ID_MISSING' });
  });
});

describe('schemes that sign a timestamp', () => {
  const body = Buffer.from('{"id":1}');
  const signers: Record<string, (at: number) => Record<string, string>> = {
    hmac: (timestampMs) =>
      signHmac({ secret: SECRET, body, deliveryId: 'd-1', eventType: 'e', timestampMs }),
    'standard-webhooks': (timestampMs) =>
      signStandardWebhooks({ secret: asKey(SECRET), body, id: 'd-1', timestampMs }),
    stripe: (timestampMs) => signStripe({ secret: SECRET, body, timestampMs }),
    slack: (timestampMs) => signSlack({ secret: SECRET, body, timestampMs }),
  };
  const offsets = [
    [-300_000, true],
    [300_000, true],
    [-301_000, false],
    [301_000, false],
  ] as const;
  const table = Object.keys(signers).flatMap((name) =>
    offsets.map((each) => [name, ...each] as const),
  );

  it.each(table)('%s, %d ms from our clock: accepted is %s', (name, offset, accepted) => {
    const verified = schemes[name as keyof typeof schemes].verify({
      headers: signers[name]?.(NOW + offset) ?? {},
      rawBody: body,
      secrets: [name === 'standard-webhooks' ? asKey(SECRET) : SECRET],
      nowMs: NOW,
      windowMs: 300_000,
    });
    if (accepted) expect(verified.ok).toBe(true);
    else expect(verified).toMatchObject({ status: 401, code: 'TIMESTAMP_OUTSIDE_WINDOW' });
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

  it('takes the time of signing for the time of the event', () => {
    expect(check(sign(NOW - 2_000))).toMatchObject({ ok: true, occurredAt: NOW - 2_000 });
  });

  it('has one way to read what was signed: an id has no dot', () => {
    // The same signature fits both: `<t>.d-1.order.paid.<body>`.
    const split = { deliveryId: 'd-1', eventType: 'order.paid', timestampMs: NOW };
    const headers = signHmac({ secret: SECRET, body, ...split });
    const moved = {
      ...headers,
      'x-reachflow-delivery': 'd-1.order',
      'x-reachflow-event': 'paid',
    };
    expect(check(headers)).toMatchObject({ ok: true });
    expect(check(moved)).toMatchObject({ status: 400, code: 'DELIVERY_ID_MISSING' });
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
