import { type DeadLetterInfo, deadLetterInfo } from '../../runtime/delivery/dead-letter.ts';
import { extractTrace } from '../../runtime/observability/trace-context.ts';
import type { Failure, Visit } from './model.ts';
import type { Hit, SearchDeps } from './search.ts';

/** What is known of a hit. */
export interface Described {
  readonly hit: Hit;
  readonly visit: Omit<Visit, 'from'>;
  /** Decoded; undefined where it cannot be. */
  readonly value: unknown;
  readonly letter: DeadLetterInfo | undefined;
}

/** Decodes a hit as far as it can be read. @throws ReachflowError `REGISTRY_UNAVAILABLE`. */
export async function describe({ codec }: SearchDeps, hit: Hit): Promise<Described> {
  const { topic, base, partition, record } = hit;
  const { offset, timestamp, headers } = record;
  await codec.load(base, [record.value], [record.key]);
  const value = decoded(() => (record.value === null ? null : decodeWithoutPayload(codec, hit)));
  const kind = topic.endsWith('.dlq')
    ? 'dead letter'
    : topic.endsWith('.retry')
      ? 'retry'
      : 'record';
  const letter = kind === 'record' ? undefined : deadLetterInfo(record);
  const visit = {
    ...({
      id: `${topic}[${partition}]@${offset}`,
      topic,
      partition,
      offset,
      timestamp,
      kind,
    } as const),
    key:
      decoded(() => codec.decodeKey(base, record.key)) ?? `0x${record.key?.toString('hex') ?? ''}`,
    summary: summaryOf(value),
    traceId: extractTrace(headers)?.traceId,
    failure: letter === undefined ? undefined : failureOf(letter),
  };
  return { hit, visit, value, letter };
}

/** Payloads that are kept elsewhere are not needed to tell what a record is. */
function decodeWithoutPayload(codec: SearchDeps['codec'], { base, record }: Hit): unknown {
  return record.value === null ? null : codec.decodePlain(base, record.value);
}

function decoded<T>(work: () => T): T | undefined {
  try {
    return work();
  } catch {
    return undefined;
  }
}

function failureOf({
  consumer,
  step,
  code,
  message,
  attempts,
  replayCount,
}: DeadLetterInfo): Failure {
  return { consumer, step, code, message, attempts, replays: replayCount, resolution: undefined };
}

/** Longest text of a field that is shown. */
const MAX_TEXT = 80;
const MAX_FIELDS = 16;

function summaryOf(value: unknown): Visit['summary'] {
  if (value === null) return null;
  if (typeof value !== 'object') return undefined;
  const fields = Object.entries(value as Record<string, unknown>).filter(
    ([, field]) =>
      ['string', 'number', 'bigint', 'boolean'].includes(typeof field) &&
      String(field).length <= MAX_TEXT,
  );
  return Object.fromEntries(fields.slice(0, MAX_FIELDS));
}

/** Whether a value has the text as a field of its own, at any depth. */
export function mentions(value: unknown, text: string, depth = 0): boolean {
  if (typeof value === 'string') return value === text;
  if (typeof value === 'number' || typeof value === 'bigint') return String(value) === text;
  if (typeof value !== 'object' || value === null || depth > 4) return false;
  return Object.values(value).some((field) => mentions(field, text, depth + 1));
}
