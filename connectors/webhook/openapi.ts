import { z } from 'zod';
import { PROBLEM_JSON } from '../../runtime/http/problem.ts';

/**
 * What the routes say of themselves, for the OpenAPI 3.1 document that `@fastify/swagger` makes of them. Nothing here
 * validates or serialises: the ingestor reads bytes, and its own code says what is wrong with them.
 */

const problem = z
  .looseObject({
    type: z.string().describe('urn:reachflow:problem:<code>'),
    title: z.string(),
    status: z.int(),
    code: z.string().describe('Stable; match this.'),
    detail: z.string().describe('For people; may change.'),
    hint: z.string().describe('What to do.'),
    request_id: z.string(),
  })
  .describe('RFC 9457 problem details.');

const position = z.object({
  line: z.int().min(1),
  column: z.int().min(1),
  byte: z.int().min(0),
});

const refusedEvent = z.object({
  index: z.int().min(0).describe('Place in the batch, from 0.'),
  code: z.string(),
  detail: z.string(),
  hint: z.string(),
  position: position.optional(),
});

const single = z
  .object({ status: z.literal('accepted'), event_id: z.string() })
  .describe('One event.');
const batch = z
  .object({
    status: z.literal('accepted'),
    accepted: z.int().min(0),
    event_ids: z.array(z.string()),
  })
  .describe('All events of a batch.');
const partial = z.object({
  status: z.literal('partial'),
  accepted: z.int().min(1),
  event_ids: z.array(z.string()),
  refused: z.int().min(1),
  events: z.array(refusedEvent).describe('Those refused; at most 100 are listed.'),
});

const cloudEvent = z.looseObject({
  specversion: z.literal('1.0'),
  id: z.string().min(1),
  source: z.string().min(1),
  type: z.string().min(1),
});

function schemaOf(schema: z.ZodType): object {
  const { $schema: _dialect, ...rest } = z.toJSONSchema(schema);
  return rest;
}

function answer(description: string, schema: z.ZodType, headers: object = {}): object {
  return { description, headers, content: { 'application/json': { schema: schemaOf(schema) } } };
}

const REQUEST_ID = {
  'x-request-id': { description: "The request's own, or a new one.", type: 'string' },
};
const RETRY_AFTER = { 'retry-after': { description: 'Seconds to wait.', type: 'integer' } };
const RATE_LIMIT = {
  'ratelimit-policy': { description: 'Quota and window of the bucket.', type: 'string' },
  ratelimit: { description: 'What is left of it.', type: 'string' },
};

/** A problem with one of these codes, and what further members it may have. */
function refusal(description: string, codes: readonly string[], headers: object = {}): object {
  const schema = problem.extend({ code: z.enum(codes as [string, ...string[]]) });
  return {
    description,
    headers: { ...REQUEST_ID, ...headers },
    content: { [PROBLEM_JSON]: { schema: schemaOf(schema) } },
  };
}

/** Problems whose codes others add to: what the brokers, the registry or the spool say. */
function failure(description: string, headers: object = {}): object {
  return {
    description,
    headers: { ...REQUEST_ID, ...headers },
    content: { [PROBLEM_JSON]: { schema: schemaOf(problem) } },
  };
}

/** What every route may answer before it is reached. */
const TRANSPORT = {
  408: refusal('The request did not arrive in time.', ['REQUEST_TIMEOUT']),
  417: refusal('An Expect header other than 100-continue.', ['EXPECTATION_FAILED']),
  431: refusal('The headers are too large.', ['HEADERS_TOO_LARGE']),
};

const header = (description: string): object => ({ type: 'string', description });

const INGEST_HEADERS = {
  type: 'object',
  properties: {
    'x-reachflow-signature': header('Scheme hmac.'),
    'x-reachflow-delivery': header('Scheme hmac: id of the delivery.'),
    'x-reachflow-event': header('Scheme hmac: type of the event.'),
    'webhook-signature': header('Scheme standard-webhooks.'),
    'webhook-id': header('Scheme standard-webhooks: id of the delivery.'),
    'webhook-timestamp': header('Scheme standard-webhooks.'),
    'x-hub-signature-256': header('Scheme github.'),
    'x-github-delivery': header('Scheme github: id of the delivery.'),
    'x-github-event': header('Scheme github: type of the event.'),
    'stripe-signature': header('Scheme stripe.'),
    'x-shopify-hmac-sha256': header('Scheme shopify.'),
    'x-shopify-webhook-id': header('Scheme shopify: id of the delivery.'),
    'x-shopify-topic': header('Scheme shopify: type of the event.'),
    'x-slack-signature': header('Scheme slack.'),
    'x-slack-request-timestamp': header('Scheme slack.'),
    'content-encoding': header('gzip, or none. The signature covers the bytes that are sent.'),
    prefer: header('RFC 7240: handling=strict (all of a batch or nothing) or handling=lenient.'),
    'x-request-id': header('Echoed, and in our logs.'),
    traceparent: header('W3C Trace Context, continued in the record.'),
  },
};

const INGEST_BODY = {
  content: {
    'application/json': {
      schema: { description: 'An event; an array is a batch, unless the source says otherwise.' },
    },
    'application/x-ndjson': { schema: { type: 'string', description: 'An event a line.' } },
    'application/cloudevents+json': { schema: schemaOf(cloudEvent) },
    'application/cloudevents-batch+json': { schema: schemaOf(z.array(cloudEvent)) },
  },
};

/** Of `POST /webhooks/ingest/{source}`. */
export const ingestSchema = {
  operationId: 'ingest',
  tags: ['webhooks'],
  summary: 'Hand over one event or a batch',
  description:
    'Signed as the source prescribes. 202 means stored; whatever else is answered, nothing was accepted, except for the events that a 207 lists as such.',
  params: {
    type: 'object',
    properties: { source: { type: 'string', description: 'As the operator named the sender.' } },
  },
  headers: INGEST_HEADERS,
  body: INGEST_BODY,
  response: {
    200: answer("Slack's url_verification.", z.object({ challenge: z.string() }), REQUEST_ID),
    202: answer('Stored.', z.union([single, batch]), { ...REQUEST_ID, ...RATE_LIMIT }),
    207: answer('A lenient batch of which a part is stored.', partial, {
      ...REQUEST_ID,
      ...RATE_LIMIT,
    }),
    400: refusal('Cannot be read.', [
      'BATCH_INVALID',
      'BATCH_NOT_AN_ARRAY',
      'CLOUDEVENT_INVALID',
      'DELIVERY_ID_MISSING',
      'EVENT_ID_MISSING',
      'EVENT_TYPE_MISSING',
      'GZIP_INVALID',
      'JSON_INVALID',
      'JSON_TOO_DEEP',
      'REQUEST_ABORTED',
      'REQUEST_INVALID',
      'UTF8_INVALID',
    ]),
    401: refusal('Not authentic.', [
      'SIGNATURE_MISMATCH',
      'SIGNATURE_MISSING',
      'TIMESTAMP_OUTSIDE_WINDOW',
    ]),
    404: refusal('No such source.', ['SOURCE_UNKNOWN', 'ROUTE_UNKNOWN']),
    413: refusal('Too large.', ['BODY_TOO_LARGE', 'BATCH_TOO_LARGE']),
    415: refusal('A content type or encoding that is not read.', [
      'ENCODING_UNSUPPORTED',
      'MEDIA_TYPE_INVALID',
      'MEDIA_TYPE_UNSUPPORTED',
    ]),
    422: refusal('The event does not say whose it is.', ['TENANT_MISSING']),
    429: refusal('Too many.', ['RATE_LIMITED', 'TENANT_THROTTLED', 'TOO_MANY_FAILURES'], {
      ...RETRY_AFTER,
      ...RATE_LIMIT,
    }),
    500: failure('Our fault; tell us the request id.'),
    503: failure('Not stored now.', RETRY_AFTER),
    ...TRANSPORT,
  },
};

const healthy = z.object({ status: z.literal('ok') });

/** Of `GET /health/live`. */
export const liveSchema = {
  operationId: 'live',
  tags: ['health'],
  summary: 'Does the process serve?',
  response: { 200: answer('It does.', healthy, REQUEST_ID), ...TRANSPORT },
};

/** Of `GET /health/ready`. */
export const readySchema = {
  operationId: 'ready',
  tags: ['health'],
  summary: 'Shall requests be sent here?',
  response: {
    200: answer('Yes.', healthy, REQUEST_ID),
    503: refusal('Not now.', ['NOT_READY'], RETRY_AFTER),
    ...TRANSPORT,
  },
};

/** Of `GET /openapi.json`. */
export const documentSchema = {
  operationId: 'openapi',
  tags: ['health'],
  summary: 'This document',
  response: {
    200: answer('OpenAPI 3.1.', z.looseObject({ openapi: z.string() }), REQUEST_ID),
    ...TRANSPORT,
  },
};
