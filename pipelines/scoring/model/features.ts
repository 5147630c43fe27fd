/** What a contact is scored by, in the order in which features are kept and handed to a model. */
export const featureNames = [
  'login_count',
  'api_calls',
  'data_uploaded',
  'email_valid',
  'phone_valid',
  'social_profiles',
  'emails_sent',
  'opens',
  'clicks',
  'responses',
] as const;

export type FeatureName = (typeof featureNames)[number];

/** Where a feature is in a contact's features. */
export const featureIndex = Object.fromEntries(
  featureNames.map((name, index) => [name, index]),
) as Readonly<Record<FeatureName, number>>;

/** Is this the name of a feature? */
export function isFeatureName(name: string): name is FeatureName {
  return Object.hasOwn(featureIndex, name);
}
