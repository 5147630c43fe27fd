/** What describes a person, as sources name it; each may be missing. */
export const PERSON_FIELDS = [
  'full_name',
  'given_name',
  'family_name',
  'email',
  'phone',
  'birth_date',
  'street',
  'locality',
  'city',
  'region',
  'postcode',
  'country',
  'company',
  'company_domain',
] as const;
export type PersonField = (typeof PERSON_FIELDS)[number];

/** What one source says of one contact, as it says it: not judged, not normalised. */
export interface RawContact {
  readonly tenantId: string;
  /** `webhook:<source>`, `cdc:contacts` or `file:<name>`. */
  readonly source: string;
  readonly sourceId: string;
  /** Grows with every change of the contact in its source. */
  readonly version: bigint;
  readonly isSnapshot: boolean;
  readonly isDeleted: boolean;
  readonly person: Readonly<Partial<Record<PersonField, string>>>;
  readonly tags: readonly string[];
  /** ms since the epoch; NaN: said, but no time. */
  readonly createdAt: number | null;
  /** ms since the epoch; NaN: said, but no time. */
  readonly updatedAt: number;
}

/** Other names by which webhooks and files may call a field. */
const ALIASES: Readonly<Record<PersonField, readonly string[]>> = {
  full_name: ['name', 'fullName'],
  given_name: ['first_name', 'firstName', 'givenName'],
  family_name: ['last_name', 'lastName', 'familyName', 'surname'],
  email: ['email_address', 'emailAddress'],
  phone: ['phone_number', 'phoneNumber', 'mobile'],
  birth_date: ['birthDate', 'date_of_birth', 'birthday'],
  street: ['address', 'address_1'],
  locality: ['address_2'],
  city: ['suburb', 'town'],
  region: ['state', 'province'],
  postcode: ['postal_code', 'postalCode', 'zip'],
  country: ['country_code', 'countryCode'],
  company: ['company_name', 'companyName', 'organization'],
  company_domain: ['companyDomain', 'website_domain'],
};

/** Reads the fields of a JSON object, by their names or aliases; numbers as text, other values not at all. */
export function personOf(
  given: Readonly<Record<string, unknown>>,
): Partial<Record<PersonField, string>> {
  const person: Partial<Record<PersonField, string>> = {};
  for (const field of PERSON_FIELDS) {
    for (const name of [field, ...ALIASES[field]]) {
      const value = given[name];
      const text = typeof value === 'number' ? String(value) : value;
      if (typeof text !== 'string' || text === '') continue;
      person[field] = text;
      break;
    }
  }
  return person;
}

/** ms since the epoch of ISO 8601 text or a number of ms; NaN for anything else. */
export function timeOf(value: unknown): number {
  if (typeof value === 'number') return value;
  return typeof value === 'string' ? Date.parse(value) : Number.NaN;
}
