import type { IncomingHttpHeaders } from 'node:http';
import { ProblemError } from '../../runtime/http/problem.ts';
import { isBinaryCloudEvent } from './cloud-event.ts';

/** How a body holds events. */
export type BodyFormat =
  | 'json'
  | 'ndjson'
  | 'cloudevent'
  | 'cloudevents-batch'
  | 'cloudevent-binary';

/** Media types of newline-delimited JSON that senders use; none is registered. */
const NDJSON = new Set(['application/x-ndjson', 'application/ndjson', 'application/jsonl']);

/** The type of a content type in lower case, without parameters. */
export function mediaTypeOf(contentType: string | undefined): string {
  return (contentType ?? '').split(';', 1)[0]?.trim().toLowerCase() ?? '';
}

/** Is it a media type of JSON (RFC 6839), or none at all? */
export function isJsonType(contentType: string | undefined): boolean {
  const type = mediaTypeOf(contentType);
  return (
    type === '' || type === 'application/json' || type === 'text/json' || type.endsWith('+json')
  );
}

/**
 * The format that the headers announce; JSON for every content type without a meaning here, since many senders send
 * JSON under another name.
 * @throws ProblemError 415 MEDIA_TYPE_UNSUPPORTED for CloudEvents in another format than JSON.
 */
export function bodyFormatOf(headers: IncomingHttpHeaders): BodyFormat {
  const type = mediaTypeOf(headers['content-type']);
  if (NDJSON.has(type)) return 'ndjson';
  if (type === 'application/cloudevents+json') return 'cloudevent';
  if (type === 'application/cloudevents-batch+json') return 'cloudevents-batch';
  if (type.startsWith('application/cloudevents')) {
    throw new ProblemError('CloudEvents are read in the JSON format only', {
      status: 415,
      code: 'MEDIA_TYPE_UNSUPPORTED',
      hint: 'Send application/cloudevents+json, application/cloudevents-batch+json or binary mode.',
    });
  }
  return isBinaryCloudEvent(headers) ? 'cloudevent-binary' : 'json';
}
