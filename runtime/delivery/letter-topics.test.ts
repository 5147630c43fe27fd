import { describe, expect, it } from 'vitest';
import { dlqOf } from '../../schemas/topics.ts';
import { planTopics } from '../topic-plan.ts';
import { retryTopicOf } from './letter-topics.ts';

describe('the retry topic that a redrive makes', () => {
  it.each(['contact.golden', 'event.recorded'] as const)(
    'is the one that its consumer would have made (%s)',
    (topic) => {
      const plans = planTopics([], [{ name: 'postgres', topics: [topic] }], 3);
      const made = retryTopicOf(dlqOf(topic, 'postgres'), 3);
      expect(plans).toContainEqual(made);
    },
  );
});
