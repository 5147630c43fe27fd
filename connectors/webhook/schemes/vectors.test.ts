import { Webhook } from 'standardwebhooks';
import Stripe from 'stripe';
import { describe, expect, it } from 'vitest';
import { shopifyScheme } from './shopify.ts';
import { slackScheme } from './slack.ts';
import { isStandardWebhooksKey, standardWebhooksScheme } from './standard-webhooks.ts';
import { signStripe, stripeScheme } from './stripe.ts';

/** Signatures that others made: published vectors, the senders' own libraries, openssl. */

const WINDOW = { windowMs: 300_000 };

describe('Standard Webhooks', () => {
  const secret = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw';
  const id = 'msg_p5jXN8AQM9LWM0D4loKWxJek';
  const rawBody = Buffer.from('{"test": 2432232314}');
  const verify = (signature: string, secrets: readonly string[], seconds = 1_614_265_330) =>
    standardWebhooksScheme.verify({
      headers: {
        'webhook-id': id,
        'webhook-timestamp': String(seconds),
        'webhook-signature': signature,
      },
      rawBody,
      secrets,
      nowMs: seconds * 1_000,
      ...WINDOW,
    });

  it('v1: the vector of its reference implementations', () => {
    const signature = 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=';
    expect(verify(signature, [secret])).toMatchObject({ ok: true, deliveryId: id });
    expect(verify(signature, [secret], 1_614_265_331)).toMatchObject({ ok: false });
  });

  it("v1: the vector of Svix's documentation", () => {
    const verified = standardWebhooksScheme.verify({
      headers: {
        'webhook-id': 'msg_loFOjxBNrRLzqYUf',
        'webhook-timestamp': '1731705121',
        'webhook-signature': 'v1,rAvfW3dJ/X/qxhsaXPOyyCGmRKsaKWcsNccKXlIktD0=',
      },
      rawBody: Buffer.from('{"event_type":"ping","data":{"success":true}}'),
      secrets: ['whsec_plJ3nmyCDGBKInavdOK15jsl'],
      nowMs: 1_731_705_121_000,
      ...WINDOW,
    });
    expect(verified).toMatchObject({ ok: true });
  });

  it('v1: what the official library signs', () => {
    const now = new Date();
    const signature = new Webhook(secret).sign(id, now, rawBody.toString());
    expect(verify(signature, [secret], Math.floor(now.getTime() / 1_000)).ok).toBe(true);
  });

  // openssl genpkey -algorithm ed25519; openssl pkeyutl -sign -rawin over `<id>.<timestamp>.<body>`.
  const publicKey = 'whpk_9rWwoteOTslU50R4YTiOMqotuAQbRylA5MLfJE1k99g=';
  const asymmetric =
    'v1a,5068uadrYDG0sySvzlGjfPY7tAIsjHe5zwE2ctC3bERIz8s3Jj9S8y7EkocgPAa1ZKc+9F/yywnE/oHLXPTvBA==';

  it('v1a: what openssl signs with ed25519', () => {
    expect(verify(asymmetric, [publicKey])).toMatchObject({ ok: true, deliveryId: id });
    expect(verify(asymmetric, [publicKey], 1_614_265_331)).toMatchObject({ ok: false });
    expect(verify(asymmetric.replace('5068', '5069'), [publicKey])).toMatchObject({ ok: false });
  });

  it('one good signature of a list is enough, whatever else is in it', () => {
    const good = 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=';
    const other = `v1,${Buffer.alloc(32).toString('base64')}`;
    expect(verify(`${other} v2,abc ${good}`, [secret]).ok).toBe(true);
    expect(verify(`${other} ${asymmetric}`, [secret, publicKey]).ok).toBe(true);
    expect(verify(Array.from({ length: 9 }, () => good).join(' '), [secret]).ok).toBe(false);
  });

  it('a public key signs nothing: its text is no shared secret, nor the other way round', () => {
    const asSecret = `whsec_${publicKey.slice('whpk_'.length)}`;
    const forged = new Webhook(asSecret).sign(id, new Date(1_614_265_330_000), rawBody.toString());
    expect(verify(forged, [publicKey])).toMatchObject({ ok: false });
    expect(verify(asymmetric, [asSecret])).toMatchObject({ ok: false });
  });

  it.each([
    [secret, true],
    [publicKey, true],
    ['MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw', false],
    ['whsec_short', false],
    ['whsec_not base64 at all, but long', false],
    ['whpk_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw', false],
    [`whsec_${Buffer.alloc(65).toString('base64')}`, false],
  ])('%s is a key: %s', (text, expected) => {
    expect(isStandardWebhooksKey(text)).toBe(expected);
  });
});

describe('Stripe', () => {
  it("what Stripe's own library signs, and it accepts what we sign", () => {
    const secret = 'whsec_test_of_a_stripe_endpoint';
    const payload = '{"id":"evt_1","object":"event","type":"charge.succeeded"}';
    const timestamp = Math.floor(Date.now() / 1_000);
    const stripe = new Stripe('sk_test_of_nobody');
    const header = stripe.webhooks.generateTestHeaderString({ payload, secret, timestamp });
    const verify = (rawBody: string) =>
      stripeScheme.verify({
        headers: { 'stripe-signature': header },
        rawBody: Buffer.from(rawBody),
        secrets: [secret],
        nowMs: timestamp * 1_000,
        ...WINDOW,
      });
    expect(verify(payload).ok).toBe(true);
    expect(verify(`${payload} `).ok).toBe(false);
    const ours = signStripe({ secret, body: payload, timestampMs: timestamp * 1_000 });
    const event = stripe.webhooks.constructEvent(payload, ours['stripe-signature'] ?? '', secret);
    expect(event.id).toBe('evt_1');
  });

  it.each([
    't=1492774577',
    'v1=5257a869e7ecebeda32affa62cdca3fa51cad7e77a0e56ff536d0ce8e108d8bd',
    't=1492774577,v0=5257a869e7ecebeda32affa62cdca3fa51cad7e77a0e56ff536d0ce8e108d8bd',
    't=1,t=2,v1=5257a869e7ecebeda32affa62cdca3fa51cad7e77a0e56ff536d0ce8e108d8bd',
  ])('an incomplete header: %s', (header) => {
    const verified = stripeScheme.verify({
      headers: { 'stripe-signature': header },
      rawBody: Buffer.from('{}'),
      secrets: ['whsec_test_of_a_stripe_endpoint'],
      nowMs: 1_492_774_577_000,
      ...WINDOW,
    });
    expect(verified).toMatchObject({ status: 401, code: 'SIGNATURE_MISSING' });
  });
});

describe('Shopify', () => {
  // printf '%s' '{"id":820982911946154508}' | openssl dgst -sha256 -hmac '<secret>' -binary | base64
  it('what openssl signs', () => {
    const verified = shopifyScheme.verify({
      headers: {
        'x-shopify-hmac-sha256': '87OTfz8HTxlUXM69s6Uawe5Ey2aKahp/2i3BsX7a7Ko=',
        'x-shopify-webhook-id': 'b54557e4-bdd9-4b37-8a5f-bf7d70bcd043',
        'x-shopify-topic': 'orders/create',
        'x-shopify-triggered-at': '2023-03-29T18:00:27.877041743Z',
      },
      rawBody: Buffer.from('{"id":820982911946154508}'),
      secrets: ['hush-this-is-the-client-secret'],
      nowMs: 0,
      ...WINDOW,
    });
    expect(verified).toEqual({
      ok: true,
      deliveryId: 'b54557e4-bdd9-4b37-8a5f-bf7d70bcd043',
      eventType: 'orders/create',
      occurredAt: Date.UTC(2023, 2, 29, 18, 0, 27, 877),
    });
  });
});

describe('Slack', () => {
  it('the vector of its documentation', () => {
    const rawBody = Buffer.from(
      'token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar' +
        '&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com' +
        '%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d' +
        '10d2c447fce8b6703c',
    );
    const verify = (nowMs: number) =>
      slackScheme.verify({
        headers: {
          'x-slack-request-timestamp': '1531420618',
          'x-slack-signature':
            'v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503',
        },
        rawBody,
        secrets: ['8f742231b10e8888abcd99yyyzzz85a5'],
        nowMs,
        ...WINDOW,
      });
    expect(verify(1_531_420_618_000).ok).toBe(true);
    expect(verify(1_531_420_919_000)).toMatchObject({ code: 'TIMESTAMP_OUTSIDE_WINDOW' });
  });

  it.each([
    [{ type: 'url_verification', challenge: '3eZbrw1aBm2rZgRNFdxV' }, '3eZbrw1aBm2rZgRNFdxV'],
    [{ type: 'event_callback', challenge: 'x' }, undefined],
    [{ type: 'url_verification', challenge: 7 }, undefined],
    [{ type: 'url_verification', challenge: 'x'.repeat(513) }, undefined],
    [{ type: 'url_verification', challenge: '<script>\n' }, undefined],
    ['url_verification', undefined],
    [null, undefined],
  ])('the challenge of %j is %s', (payload, expected) => {
    expect(slackScheme.challenge?.(payload)).toBe(expected);
  });
});
