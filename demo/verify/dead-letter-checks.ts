import { type Check, compareMaps, differenceCheck, figure } from './check.ts';
import type { Facts, FoundDeadLetter } from './facts.ts';
import type { Rejections } from './position.ts';

type Rejection = Rejections extends Map<string, infer V> ? V : never;

function letterDiffers(expected: Rejection, letter: FoundDeadLetter): string | undefined {
  if (letter.copies > 1) return `there ${letter.copies} times`;
  if (letter.digest !== expected.digest) return 'its bytes are not those of the original';
  if (letter.missingHeaders.length > 0) return `no header ${letter.missingHeaders.join(', ')}`;
  if (expected.reasons.includes('undecodable')) {
    return letter.code === 'UNDECODABLE' ? undefined : `its code is ${letter.code}`;
  }
  if (letter.code !== 'VALIDATION') return `its code is ${letter.code}`;
  // Each reason begins with the field it is about; the message is for people, but must name every field.
  const unnamed = expected.reasons
    .map((reason) => reason.split(' ')[0] ?? reason)
    .filter((field) => !letter.message.includes(field));
  return unnamed.length === 0
    ? undefined
    : `says nothing of ${unnamed.join(', ')}: ${letter.message}`;
}

/** Each record that has to be rejected is in its DLQ once, with its bytes, every reason, and its headers. */
export function deadLettersCheck(facts: Facts): Check {
  const expected = new Map([...facts.events.rejections, ...facts.contacts.rejections]);
  const difference = compareMaps(expected, facts.deadLetters, {
    differs: letterDiffers,
    mayExtra: ({ topic }) => facts.truncated.has(topic),
  });
  const check = differenceCheck('Dead letters, each with its reasons', difference);
  const byQueue = new Map<string, number>();
  for (const [key, { copies }] of facts.deadLetters) {
    const queue = key.slice(0, key.indexOf('|'));
    byQueue.set(queue, (byQueue.get(queue) ?? 0) + copies);
  }
  const queues = [...byQueue].map(([queue, count]) => `${queue} ${figure(count)}`).join(', ');
  return { ...check, numbers: queues === '' ? check.numbers : `${check.numbers} (${queues})` };
}
