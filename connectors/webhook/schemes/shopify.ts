import {
  anySignatureMatches,
  deliveryIdMissing,
  headerToken,
  hmacSha256,
  parseSha256Base64,
  type SignatureScheme,
  signatureMismatch,
  signatureMissing,
} from './scheme.ts';

/**
 * Shopify's scheme: HMAC-SHA256, in base64, over the raw body, with the app's client secret. No timestamp is signed, so
 * there is no replay window: a replayed delivery is dropped by its id, downstream. The headers are not signed either;
 * `x-shopify-shop-domain` can be the tenant (`tenantHeader`) as far as TLS is trusted to have kept it.
 * Source: Shopify Docs, "Verify webhook deliveries".
 */
const SIGNATURE_HEADER = 'x-shopify-hmac-sha256';
const DELIVERY_HEADER = 'x-shopify-webhook-id';
const TOPIC_HEADER = 'x-shopify-topic';
const TRIGGERED_AT_HEADER = 'x-shopify-triggered-at';

export const shopifyScheme: SignatureScheme = {
  name: 'shopify',
  signatureHeader: SIGNATURE_HEADER,
  verify({ headers, rawBody, secrets }) {
    const header = headers[SIGNATURE_HEADER];
    const signature = typeof header === 'string' ? parseSha256Base64(header) : undefined;
    if (signature === undefined) {
      return signatureMissing(SIGNATURE_HEADER, '<base64 of 32 bytes>');
    }
    if (!anySignatureMatches([signature], secrets, rawBody)) return signatureMismatch();
    const deliveryId = headerToken(headers, DELIVERY_HEADER);
    if (deliveryId === undefined) return deliveryIdMissing(DELIVERY_HEADER);
    const triggeredAt = Date.parse(headerToken(headers, TRIGGERED_AT_HEADER) ?? '');
    return {
      ok: true,
      deliveryId,
      eventType: headerToken(headers, TOPIC_HEADER),
      ...(Number.isNaN(triggeredAt) || triggeredAt < 0 ? {} : { occurredAt: triggeredAt }),
    };
  },
};

/** The headers that Shopify puts on a delivery. */
export function signShopify(input: {
  readonly secret: string;
  readonly body: string | Uint8Array;
  readonly webhookId: string;
  readonly topic: string;
  readonly shopDomain: string;
}): Record<string, string> {
  return {
    'content-type': 'application/json',
    [SIGNATURE_HEADER]: hmacSha256(input.secret, input.body).toString('base64'),
    [DELIVERY_HEADER]: input.webhookId,
    [TOPIC_HEADER]: input.topic,
    'x-shopify-shop-domain': input.shopDomain,
  };
}
