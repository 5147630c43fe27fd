import { createHash, createHmac } from 'node:crypto';
import type { AlertRaised } from '../../schemas/types.ts';
import type { AlertActions } from './config.ts';
import { postAlert } from './http.ts';
import type { AlertChannel } from './sink.ts';
import { descriptionOf, titleOf } from './text.ts';

/** What Slack reads as markup: a tenant's name must not call a channel. */
function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}

/** Slack's incoming webhooks have no key: after a crash a message may come twice. */
export function slackChannel(url: string, { timeoutMs }: AlertActions['slack']): AlertChannel {
  return {
    mode: 'at-least-once',
    send: (alert) => {
      const [title, text] = [titleOf(alert), descriptionOf(alert)].map(escaped);
      return postAlert('slack', { url, timeoutMs, body: { text: `*${title}*\n${text}` } });
    },
  };
}

/** PagerDuty's limit of a dedup_key. */
const DEDUP_KEY_LENGTH = 255;

/** A key of at most so many characters: the id itself, or its digest. */
function keyOf(id: string): string {
  if (id.length <= DEDUP_KEY_LENGTH) return id;
  return createHash('sha256').update(id).digest('hex');
}

/** Events API v2: `dedup_key` makes one incident of an alert, however often it comes. */
export function pagerdutyChannel(
  routingKey: string,
  { url, timeoutMs }: AlertActions['pagerduty'],
): AlertChannel {
  return {
    mode: 'idempotent',
    send: (alert) =>
      postAlert('pagerduty', {
        url,
        timeoutMs,
        body: {
          routing_key: routingKey,
          event_action: 'trigger',
          dedup_key: keyOf(alert.alert_id),
          payload: {
            summary: alert.summary.slice(0, 1_024),
            source: alert.tenant_id === '' ? 'reachflow' : alert.tenant_id,
            severity: alert.severity,
            timestamp: new Date(alert.raised_at).toISOString(),
            component: alert.pattern,
            custom_details: { ...alert },
          },
        },
      }),
  };
}

/** `Idempotency-Key` and `webhook-id` are the alert's id: a receiver that remembers them has each alert once. */
export function webhookChannel(
  url: string,
  { headers, signingSecret, timeoutMs }: AlertActions['webhook'],
  clock: () => number = Date.now,
): AlertChannel {
  return {
    mode: 'at-least-once',
    send: (alert) => {
      const body = { type: 'alert.raised', timestamp: new Date(alert.raised_at), data: alert };
      const signed =
        signingSecret === undefined ? {} : signature(signingSecret, alert, body, clock());
      const key = { 'idempotency-key': `"${headerText(alert.alert_id)}"` };
      return postAlert('webhook', {
        url,
        timeoutMs,
        headers: { ...headers, ...key, ...signed },
        body,
      });
    },
  };
}

/** An id as a header has it: ASCII, without what ends a quoted string. */
function headerText(id: string): string {
  return encodeURIComponent(id).replaceAll('%3A', ':');
}

/** Standard Webhooks: HMAC-SHA256 of `id.timestamp.body`. */
function signature(secret: string, { alert_id }: AlertRaised, body: unknown, now: number) {
  const id = headerText(alert_id);
  const timestamp = String(Math.floor(now / 1_000));
  const key = Buffer.from(secret.slice('whsec_'.length), 'base64');
  const content = `${id}.${timestamp}.${JSON.stringify(body)}`;
  const mac = createHmac('sha256', key).update(content).digest('base64');
  return { 'webhook-id': id, 'webhook-timestamp': timestamp, 'webhook-signature': `v1,${mac}` };
}

/** A ticket of a POST: two where the alert is sent again and its system does not go by `Idempotency-Key`. */
export function ticketChannel(
  url: string,
  { headers, body, timeoutMs }: AlertActions['ticket'],
): AlertChannel {
  return {
    mode: 'at-least-once',
    send: (alert) => {
      const values: Readonly<Record<string, string>> = {
        title: titleOf(alert),
        description: descriptionOf(alert),
        alert_id: alert.alert_id,
        pattern: alert.pattern,
        severity: alert.severity,
        tenant: alert.tenant_id,
        subject: alert.subject,
      };
      const key = { 'idempotency-key': `"${headerText(alert.alert_id)}"` };
      const filled = fill(body, values);
      return postAlert('ticket', { url, timeoutMs, headers: { ...headers, ...key }, body: filled });
    },
  };
}

/** Fills the placeholders of all texts in a JSON value; what is filled in is not looked at again. */
function fill(node: unknown, values: Readonly<Record<string, string>>): unknown {
  if (typeof node === 'string')
    return node.replace(/\{([a-z_]+)\}/g, (given, name: string) =>
      Object.hasOwn(values, name) ? (values[name] ?? given) : given,
    );
  if (Array.isArray(node)) return node.map((item) => fill(item, values));
  if (typeof node !== 'object' || node === null) return node;
  return Object.fromEntries(Object.entries(node).map(([name, item]) => [name, fill(item, values)]));
}
