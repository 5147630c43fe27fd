import { createHash } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { CloudEvent, type CloudEventV1, ValidationError } from 'cloudevents';

/** An object that is a CloudEvent by its attributes: `cloudEventFault` found nothing. */
export interface CloudEventValue {
  readonly id: string;
  readonly source: string;
  readonly type: string;
  readonly subject?: string;
  readonly time?: string;
  readonly data?: unknown;
}

const REQUIRED = ['id', 'source', 'type'] as const;
const TOKEN = /^[\x21-\x7e]{1,200}$/;
const ATTRIBUTE = /^[a-z0-9]{1,64}$/;
const HEADER_PREFIX = 'ce-';

/** Why a value is no CloudEvent of version 1.0, for people; undefined when it is one. */
export function cloudEventFault(value: unknown): string | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    return 'a CloudEvent is a JSON object';
  }
  const { data: _data, data_base64: _base64, ...attributes } = value as Record<string, unknown>;
  // The library fills in what is absent, and lets other versions pass.
  if (attributes['specversion'] !== '1.0') return 'specversion has to be "1.0"';
  for (const name of REQUIRED) {
    const attribute = attributes[name];
    if (typeof attribute !== 'string' || attribute === '') {
      return `the attribute ${name} has to be a text that is not empty`;
    }
  }
  if (Object.values(attributes).some((each) => typeof each === 'object' && each !== null)) {
    return 'an attribute is a text, a number or a boolean';
  }
  try {
    void new CloudEvent(attributes as unknown as CloudEventV1<undefined>, true);
    return undefined;
  } catch (error) {
    return libraryFault(error);
  }
}

/** Whether the text is of use is for the reader to say: it is the library's. */
function libraryFault(error: unknown): string {
  if (!(error instanceof ValidationError)) return 'an attribute has a name that is not allowed';
  const [first] = error.errors ?? [];
  if (typeof first === 'object' && 'instancePath' in first) {
    return `the attribute ${first.instancePath.slice(1)} ${first.message ?? 'is not valid'}`;
  }
  return 'attributes have names of lower-case letters and digits, and are texts, numbers or booleans';
}

/**
 * The identity of an event, by the specification `source` and `id` together, as a delivery id. An event whose id cannot
 * be one (too long, not printable ASCII) has their SHA-256.
 */
export function cloudEventId({ source, id }: Pick<CloudEventValue, 'source' | 'id'>): string {
  const text = `${source}#${encodeURIComponent(id.toWellFormed())}`;
  if (TOKEN.test(text)) return text;
  return `sha256:${createHash('sha256').update(text).digest('hex')}`;
}

/** Does a request carry one CloudEvent in binary mode: attributes in headers, data in the body? */
export function isBinaryCloudEvent(headers: IncomingHttpHeaders): boolean {
  return headers['ce-specversion'] !== undefined;
}

/**
 * An event of binary mode as text in the JSON format, the form that all events are stored in. JSON data stays as it
 * stands; other text becomes a JSON string, and other bytes `data_base64`.
 * @param json the body, when it is JSON; undefined for one that is not, or that is empty.
 * Source: CloudEvents HTTP protocol binding 1.0.2, section 3.1.
 */
export function binaryToJson(
  headers: IncomingHttpHeaders,
  body: Buffer,
  json: string | undefined,
): string {
  const attributes: [string, string][] = [];
  for (const [name, value] of Object.entries(headers)) {
    if (!name.startsWith(HEADER_PREFIX) || typeof value !== 'string') continue;
    const attribute = name.slice(HEADER_PREFIX.length);
    // What is no attribute name makes the event invalid: it must not disappear.
    const isKnown = ATTRIBUTE.test(attribute) && attribute !== 'data';
    attributes.push([isKnown ? attribute : '-', percentDecoded(value)]);
  }
  const contentType = headers['content-type'];
  if (contentType !== undefined) attributes.push(['datacontenttype', contentType]);
  const head = JSON.stringify(Object.fromEntries(attributes)).slice(0, -1);
  if (body.length === 0) return `${head}}`;
  if (json !== undefined) return `${head},"data":${json}}`;
  return contentType?.startsWith('text/') === true
    ? `${head},"data":${JSON.stringify(body.toString('utf8'))}}`
    : `${head},"data_base64":"${body.toString('base64')}"}`;
}

/** A header's value, in which a sender has to percent-encode what is not printable ASCII. */
function percentDecoded(value: string): string {
  if (!value.includes('%')) return value;
  try {
    return decodeURIComponent(value);
  } catch {
    return value;
  }
}
