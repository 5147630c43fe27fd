import { isValidPhoneNumber } from 'libphonenumber-js/max';
import validator from 'validator';
import type { Contact } from '../../../schemas/types.ts';

export const traitNames = ['email_valid', 'phone_valid', 'social_profiles'] as const;

/** Features that a contact has by what it is, not by what it does. */
export type Traits = Readonly<Record<(typeof traitNames)[number], number>>;

const SOCIAL = /^social:[a-z0-9._-]{1,50}$/;

/** @returns 1 for yes, 0 for no; how many networks its tags `social:<network>` name. */
export function traitsOf({ email, phone, tags }: Contact): Traits {
  const networks = new Set(tags.map((tag) => tag.toLowerCase()).filter((tag) => SOCIAL.test(tag)));
  return {
    email_valid: validator.isEmail(email) ? 1 : 0,
    phone_valid: phone?.startsWith('+') === true && isValidPhoneNumber(phone) ? 1 : 0,
    social_profiles: networks.size,
  };
}
