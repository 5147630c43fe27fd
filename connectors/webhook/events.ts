import type { IncomingHttpHeaders } from 'node:http';
import { ProblemError } from '../../runtime/http/problem.ts';
import { type ParsedBody, parseBody, type TextPosition } from './body-json.ts';
import { binaryToJson, type CloudEventValue, cloudEventFault } from './cloud-event.ts';
import { elementTexts } from './json-array.ts';
import { type BodyFormat, bodyFormatOf, isJsonType, mediaTypeOf } from './media-type.ts';

/** One event of a request, as it was sent. */
export interface ReceivedEvent {
  /** JSON, unaltered. */
  readonly text: string;
  readonly value: unknown;
  /** The value once more, when it is a CloudEvent. */
  readonly cloudEvent?: CloudEventValue;
  /** Its attributes came in headers, which no scheme signs. */
  readonly isBinary?: boolean;
}

/** Why one event of a request cannot be accepted. */
export interface EventFault {
  /** Of the answer, when it is the only event; 400 when absent. */
  readonly status?: number;
  readonly code: string;
  readonly detail: string;
  readonly hint: string;
  /** In the body. */
  readonly position?: TextPosition;
}

export type ParsedEvent =
  | { readonly ok: true; readonly event: ReceivedEvent }
  | { readonly ok: false; readonly fault: EventFault };

/** The events of a body, in its order. */
export interface ParsedEvents {
  readonly isBatch: boolean;
  readonly events: readonly ParsedEvent[];
}

export interface ParseOptions {
  readonly maxDepth: number;
  readonly maxBatchEvents: number;
  /** Of one event's text: in binary mode that can be longer than the body. */
  readonly bodyLimitBytes: number;
  /** What a JSON array is. */
  readonly arrays: 'batch' | 'event';
}

const LF = 0x0a;
const CLOUD_EVENT_HINT = 'See CloudEvents 1.0: id, source, type and specversion are required.';

/**
 * Reads the events of a body. What makes the whole body unreadable is thrown; what concerns one event of a batch is a
 * fault of that event.
 * @throws ProblemError 400 JSON_INVALID, UTF8_INVALID, JSON_TOO_DEEP, BATCH_NOT_AN_ARRAY; 413 BATCH_TOO_LARGE,
 *   BODY_TOO_LARGE; 415 MEDIA_TYPE_UNSUPPORTED.
 */
export function parseEvents(
  headers: IncomingHttpHeaders,
  body: Buffer,
  options: ParseOptions,
): ParsedEvents {
  const format = bodyFormatOf(headers);
  if (format === 'ndjson') return { isBatch: true, events: parseLines(body, options) };
  if (format === 'cloudevent-binary') {
    return { isBatch: false, events: [parseBinary(headers, body, options)] };
  }
  const parsed = parseBody(body, options.maxDepth);
  if (!parsed.ok) throw unreadable(faultOf(parsed, headers));
  const { value, text } = parsed;
  if (format === 'cloudevents-batch' && !Array.isArray(value)) {
    throw unreadable({
      code: 'BATCH_NOT_AN_ARRAY',
      detail: 'a batch of CloudEvents is a JSON array',
      hint: 'Send a single event as application/cloudevents+json.',
    });
  }
  const isArray = Array.isArray(value) && (format !== 'json' || options.arrays === 'batch');
  if (!isArray || format === 'cloudevent') {
    return { isBatch: false, events: [asEvent(format, text, value)] };
  }
  requireRoom(value.length, options);
  const texts = elementTexts(body);
  const events = value.map((each, index) => asEvent(format, texts[index] ?? '', each));
  return { isBatch: true, events };
}

/** The problem of a request whose only event, or whole body, cannot be read. */
export function unreadable({ status, code, detail, hint, position }: EventFault): ProblemError {
  return new ProblemError(detail, {
    status: status ?? 400,
    code,
    hint,
    ...(position === undefined ? {} : { extensions: { position } }),
  });
}

function asEvent(format: BodyFormat, text: string, value: unknown): ParsedEvent {
  if (format === 'json' || format === 'ndjson') return { ok: true, event: { text, value } };
  const detail = cloudEventFault(value);
  if (detail === undefined) {
    return { ok: true, event: { text, value, cloudEvent: value as CloudEventValue } };
  }
  return { ok: false, fault: { code: 'CLOUDEVENT_INVALID', detail, hint: CLOUD_EVENT_HINT } };
}

function requireRoom(count: number, { maxBatchEvents }: ParseOptions): void {
  if (count <= maxBatchEvents) return;
  throw new ProblemError(`the batch has more than ${maxBatchEvents} events`, {
    status: 413,
    code: 'BATCH_TOO_LARGE',
    hint: 'Send several smaller batches.',
    extensions: { limit_events: maxBatchEvents },
  });
}

function parseLines(body: Buffer, options: ParseOptions): ParsedEvent[] {
  const events: ParsedEvent[] = [];
  for (let begin = 0, line = 1; begin < body.length; line += 1) {
    const found = body.indexOf(LF, begin);
    const end = found < 0 ? body.length : found;
    const bytes = body.subarray(begin, end);
    if (!isBlank(bytes)) {
      requireRoom(events.length + 1, options);
      const parsed = parseBody(bytes, options.maxDepth, { line, byte: begin });
      events.push(
        parsed.ok
          ? { ok: true, event: { text: parsed.text.trim(), value: parsed.value } }
          : { ok: false, fault: lineFault(parsed) },
      );
    }
    begin = end + 1;
  }
  return events;
}

function isBlank(bytes: Buffer): boolean {
  return bytes.every((byte) => byte === 0x20 || byte === 0x0d || byte === 0x09);
}

type BodyFault = Extract<ParsedBody, { ok: false }>;

function lineFault({ code, reason: detail, position }: BodyFault): EventFault {
  return { code, detail, hint: 'Send one JSON document in UTF-8 a line.', position };
}

function faultOf({ code, reason, position }: BodyFault, headers: IncomingHttpHeaders): EventFault {
  const isForm = mediaTypeOf(headers['content-type']) === 'application/x-www-form-urlencoded';
  return {
    code,
    detail: reason,
    hint: isForm
      ? 'The sender posts a form: set its content type to application/json.'
      : 'Send one JSON document in UTF-8.',
    position,
  };
}

function parseBinary(
  headers: IncomingHttpHeaders,
  body: Buffer,
  options: ParseOptions,
): ParsedEvent {
  let json: string | undefined;
  if (body.length > 0 && isJsonType(headers['content-type'])) {
    const parsed = parseBody(body, options.maxDepth);
    if (!parsed.ok) throw unreadable(faultOf(parsed, headers));
    json = parsed.text.trim();
  }
  const text = binaryToJson(headers, body, json);
  if (Buffer.byteLength(text) > options.bodyLimitBytes) {
    throw new ProblemError(`as JSON the event is larger than ${options.bodyLimitBytes} bytes`, {
      status: 413,
      code: 'BODY_TOO_LARGE',
      hint: 'Send less per request, or a reference to the data instead of the data.',
      extensions: { limit_bytes: options.bodyLimitBytes },
    });
  }
  const parsed = asEvent('cloudevent', text, JSON.parse(text));
  return parsed.ok ? { ok: true, event: { ...parsed.event, isBinary: true } } : parsed;
}
