import type { KafkaClient } from '../../runtime/kafka/client.ts';
import { readTopic } from '../../runtime/kafka/reader.ts';
import { readerType } from '../../schemas/avro.ts';
import type { TenantCount } from '../../schemas/types.ts';
import { type Truth, type WindowCounts, windowKey } from '../input/truth.ts';
import { eventOf } from '../input/workload.ts';

const WIRE_HEADER_BYTES = 5;

/** What a contestant wrote, as readers of committed records see it, against what had to come out. */
export interface Verdict {
  readonly exact: boolean;
  /** One line for people. */
  readonly detail: string;
}

/** The event's number: `event_id`, the first field of the Avro body, is a string of less than 64 bytes. */
export function eventIn(value: Buffer): number {
  const start = WIRE_HEADER_BYTES + 1;
  const length = (value[WIRE_HEADER_BYTES] ?? 0) >> 1;
  return eventOf(value.toString('latin1', start, start + length));
}

/** How often each event is in `event.recorded`. */
async function recordedEvents(client: KafkaClient, events: number): Promise<Uint8Array> {
  const times = new Uint8Array(events);
  await readTopic(client, {
    topic: 'event.recorded',
    onRecord: ({ value }) => {
      if (value === null) return;
      const event = eventIn(value);
      times[event] = (times[event] ?? 0) + 1;
    },
  });
  return times;
}

/** The last count of each window. */
async function emittedCounts(
  client: KafkaClient,
): Promise<{ counts: WindowCounts; records: number }> {
  const counts = new Map<string, number>();
  const type = readerType('metric.tenant.count');
  let records = 0;
  await readTopic(client, {
    topic: 'metric.tenant.count',
    onRecord: ({ value }) => {
      if (value === null) return;
      const window: TenantCount = type.fromBuffer(value.subarray(WIRE_HEADER_BYTES));
      counts.set(windowKey(window.tenant_id, window.window_start), window.count);
      records += 1;
    },
  });
  return { counts, records };
}

/** T0: each record that was kept, and no other. */
export async function verifyFiltered(client: KafkaClient, truth: Truth): Promise<Verdict> {
  const times = await recordedEvents(client, truth.events);
  let missing = 0;
  let more = 0;
  for (const [event, kept] of truth.kept.entries()) {
    const difference = kept - (times[event] ?? 0);
    if (difference > 0) missing += difference;
    else more -= difference;
  }
  return { exact: missing + more === 0, detail: `records: ${missing} missing, ${more} too many` };
}

function deduplicated(times: Uint8Array): Verdict {
  let missing = 0;
  let twice = 0;
  for (const count of times) {
    if (count === 0) missing += 1;
    if (count > 1) twice += 1;
  }
  const detail = `events: ${missing} missing, ${twice} twice`;
  return { exact: missing === 0 && twice === 0, detail };
}

/** @param rule by which the contestant treats late events. */
function counted(emitted: WindowCounts, truth: Truth, rule: 'due' | 'all'): Verdict {
  const expected = truth.counts(rule);
  const all = truth.counts('all');
  let wrong = 0;
  let short = 0;
  let sum = 0;
  for (const window of all.keys()) {
    const [count, wanted] = [emitted.get(window) ?? 0, expected.get(window) ?? 0];
    sum += count;
    if (count !== wanted) wrong += 1;
    if (count < wanted) short += 1;
  }
  for (const window of emitted.keys()) if (!all.has(window)) wrong += 1;
  const due = rule === 'due' ? truth.due : truth.events;
  const windows = `${wrong} of ${expected.size} windows differ, ${short} are short`;
  return { exact: wrong === 0, detail: `counted ${sum} of ${due} events (${rule}): ${windows}` };
}

/** T1: each event once, and each window's last count. */
export async function verifyCounted(
  client: KafkaClient,
  truth: Truth,
  rule: 'due' | 'all',
): Promise<Verdict> {
  const events = deduplicated(await recordedEvents(client, truth.events));
  const { counts, records } = await emittedCounts(client);
  const windows = counted(counts, truth, rule);
  return {
    exact: events.exact && windows.exact,
    detail: `${events.detail}; ${windows.detail} (${records} emitted)`,
  };
}
