import { defineTopology } from '../../runtime/topology/builder.ts';
import { type Activity, activitySerde, readActivity } from './steps/activity.ts';
import { createCombineStep } from './steps/combine.ts';
import { type ScoreInput, scoreStep } from './steps/score.ts';

/**
 * What contacts do (`event.recorded`) and what they are (`contact.golden`) → features, scored by the model that
 * `scoring.model` holds → `contact.scored`. Optional.
 */
export const scoringPipeline = defineTopology('scoring', (t) => {
  const activity = t
    .stream('event.recorded', { name: 'events', timestamp: ({ occurred_at }) => occurred_at })
    .step('read-event', readActivity)
    .process<Activity>('combine', { create: createCombineStep })
    .selectKey('by-contact', ({ contact }) => contact, { serde: activitySerde })
    .repartition('activity')
    .map('did', (did): ScoreInput => ({ kind: 'activity', activity: did }));
  const golden = t
    .streamWithTombstones('contact.golden')
    .map('is', (contact): ScoreInput => ({ kind: 'golden', contact }));
  activity.merge('contacts', golden).process('score', scoreStep).to('contact.scored');
});
