import { type Check, figure, MAX_SAMPLES } from './check.ts';
import type { Facts } from './facts.ts';

/** Every request of this run was answered as it must be: 202, or the status of what is wrong with it. */
export function answersCheck({ ledger }: Pick<Facts, 'ledger'>): Check {
  let right = 0;
  let wrong = 0;
  const kinds: string[] = [];
  for (const [kind, counts] of ledger.kinds) {
    right += counts.right;
    wrong += counts.wrong;
    if (kind !== 'valid') kinds.push(`${kind} ${figure(counts.right)}`);
  }
  const broken = kinds.length === 0 ? '' : ` (refused: ${kinds.join(', ')})`;
  return {
    title: 'Requests were answered as they must be',
    ok: wrong === 0 && right > 0,
    numbers: `${figure(right)} right, ${figure(wrong)} wrong${broken}`,
    samples: ledger.wrongSamples,
  };
}

/** Each delivery of this run that got a 202 is in ClickHouse, its payload byte for byte. */
export function acceptedCheck({
  ledger,
  storedEvents,
}: Pick<Facts, 'ledger' | 'storedEvents'>): Check {
  let lost = 0;
  let altered = 0;
  const samples: string[] = [];
  for (const [eventId, digest] of ledger.accepted) {
    const stored = storedEvents.get(eventId);
    if (stored?.payloadDigest === digest) continue;
    if (stored === undefined) lost += 1;
    else altered += 1;
    if (samples.length < MAX_SAMPLES) {
      samples.push(`${eventId} ${stored === undefined ? 'is missing' : 'has another payload'}`);
    }
  }
  const older = ledger.forgotten > 0 ? `, ${figure(ledger.forgotten)} older not looked at` : '';
  return {
    title: 'Each accepted webhook is in ClickHouse, unaltered',
    ok: lost + altered === 0,
    numbers: `${figure(ledger.accepted.size)} accepted, ${figure(lost)} lost, ${figure(altered)} altered${older}`,
    samples,
  };
}

/** Nothing came of a request that was refused. */
export function refusedCheck(facts: Pick<Facts, 'ledger' | 'storedEvents' | 'events'>): Check {
  const { ledger, storedEvents, events } = facts;
  const found = [...ledger.refused].filter(
    (id) => storedEvents.has(id) || events.webhookIds.has(id),
  );
  return {
    title: 'Nothing came of refused webhooks',
    ok: found.length === 0,
    numbers: `${figure(ledger.refused.size)} refused, ${figure(found.length)} in topic or store`,
    samples: found.slice(0, MAX_SAMPLES).map((id) => `${id} should not be there`),
  };
}
