import type { ContactObserved } from '../../../schemas/types.ts';

/** What a contact is worth having: shares of completeness. */
const PARTS = {
  full_name: 0.25,
  email: 0.25,
  phone: 0.2,
  company: 0.1,
  street: 0.05,
  city: 0.05,
  postcode: 0.05,
  birth_date: 0.05,
} as const satisfies Partial<Record<keyof ContactObserved, number>>;

const YEAR_MS = 365.25 * 86_400_000;

/**
 * Data quality of a valid contact, 0 to 1: seven tenths are completeness, as shares above; three are timeliness, which is half
 * lost with each year since its source changed it. What is not accurate or consistent was rejected, and counts 0.
 * @param ageMs since its source changed it.
 */
export function qualityOf(
  person: Readonly<Pick<ContactObserved, keyof typeof PARTS>>,
  ageMs: number,
): number {
  let complete = 0;
  for (const [field, share] of Object.entries(PARTS)) {
    if (person[field as keyof typeof PARTS] !== null) complete += share;
  }
  const timeliness = 0.5 ** (Math.max(0, ageMs) / YEAR_MS);
  // To the thousandth: what depends on the last bit of a power is no basis for a decision.
  return Math.round((0.7 * complete + 0.3 * timeliness) * 1_000) / 1_000;
}
