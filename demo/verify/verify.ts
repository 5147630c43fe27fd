import type { Check } from './check.ts';
import { captureChecks, contactsChecks } from './contact-checks.ts';
import { deadLettersCheck } from './dead-letter-checks.ts';
import { countsCheck, eventsCheck, sumChecks } from './event-checks.ts';
import type { Facts } from './facts.ts';
import { acceptedCheck, answersCheck, refusedCheck } from './webhook-checks.ts';

/** Everything that has to add up, in the order in which the data flows. */
export function verify(facts: Facts): readonly Check[] {
  return [
    answersCheck(facts),
    acceptedCheck(facts),
    refusedCheck(facts),
    ...sumChecks(facts),
    eventsCheck(facts),
    countsCheck(facts),
    ...captureChecks(facts),
    ...contactsChecks(facts),
    deadLettersCheck(facts),
  ];
}
