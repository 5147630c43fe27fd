import { type Check, compareMaps, differenceCheck, figure } from './check.ts';
import type { ExpectedEvent, Tally } from './events-replay.ts';
import type { Facts, StoredEvent } from './facts.ts';

interface Source {
  readonly title: string;
  readonly topic: string;
  readonly tally: Tally;
  /** Is a stored event of this source? */
  readonly isOurs: (eventId: string, event: StoredEvent) => boolean;
}

/**
 * In = stored + duplicates + rejected, for webhooks and for rows: the topic's own records on one side, ClickHouse
 * and the DLQ on the other.
 */
export function sumChecks(facts: Facts): Check[] {
  const { events } = facts;
  return [
    sumCheck(facts, {
      title: 'Webhooks: in = stored + duplicates + rejected',
      topic: 'webhook.received',
      tally: events.webhooks,
      isOurs: (_id, { source }) => source.startsWith('webhook:'),
    }),
    sumCheck(facts, {
      title: 'Inserted events: in = stored + duplicates + rejected',
      topic: 'cdc.public.events',
      tally: events.rows,
      isOurs: (_id, { source }) => source === 'cdc:events',
    }),
  ];
}

function sumCheck(facts: Facts, { title, topic, tally, isOurs }: Source): Check {
  // What retention took from the topic is in none of its counts.
  const isKept = (id: string) => !facts.truncated.has(topic) || facts.events.events.has(id);
  let stored = 0;
  for (const [id, event] of facts.storedEvents) {
    if (isOurs(id, event) && isKept(id)) stored += event.copies;
  }
  let rejected = 0;
  const prefix = `${topic}.events.dlq|`;
  for (const [key, { copies }] of facts.deadLetters) {
    if (!key.startsWith(prefix)) continue;
    if (!facts.truncated.has(topic) || facts.events.rejections.has(key)) rejected += copies;
  }
  const incoming = tally.records - tally.ignored;
  const sum = stored + tally.duplicates + rejected;
  return {
    title,
    ok: incoming === sum,
    numbers: `${figure(incoming)} = ${figure(stored)} + ${figure(tally.duplicates)} + ${figure(rejected)}${
      incoming === sum ? '' : `, which is ${figure(sum)}`
    }`,
    samples: [],
  };
}

function eventDiffers(expected: ExpectedEvent, actual: StoredEvent): string | undefined {
  if (actual.copies > 1) return `there ${actual.copies} times`;
  for (const field of ['tenantId', 'source', 'eventType', 'occurredAt', 'payloadDigest'] as const) {
    if (expected[field] === actual[field]) continue;
    return `${field} is ${String(actual[field])}, should be ${String(expected[field])}`;
  }
  return undefined;
}

/** ClickHouse has exactly the events that the topics ask for, each once, field by field. */
export function eventsCheck(facts: Facts): Check {
  const { truncated, events, storedEvents } = facts;
  const difference = compareMaps(events.events, storedEvents, {
    differs: eventDiffers,
    mayExtra: ({ source }) =>
      truncated.has(source === 'cdc:events' ? 'cdc.public.events' : 'webhook.received'),
  });
  return differenceCheck('Events in ClickHouse, each exactly once', difference);
}

const MINUTE_MS = 60_000;

/** The counts per tenant and minute are those of a recount. */
export function countsCheck(facts: Facts): Check {
  const { truncated, events, storedCounts, storedEvents } = facts;
  const isWhole = !truncated.has('webhook.received') && !truncated.has('cdc.public.events');
  const expected = isWhole ? events.counts : recount(storedEvents);
  const difference = compareMaps(expected, storedCounts, {
    differs: (count, stored) =>
      count === stored ? undefined : `counted ${stored}, should be ${count}`,
  });
  return differenceCheck('Counts per tenant and minute', difference);
}

/** From the store's own events: what is left to count by when the topics do not go back far enough. */
function recount(storedEvents: ReadonlyMap<string, StoredEvent>): Map<string, number> {
  const counts = new Map<string, number>();
  for (const { tenantId, occurredAt } of storedEvents.values()) {
    const key = `${tenantId}@${occurredAt - (occurredAt % MINUTE_MS)}`;
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  return counts;
}
