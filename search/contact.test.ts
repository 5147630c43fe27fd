import { describe, expect, it } from 'vitest';
import { foundContact, maskEmail, maskPhone } from './contact.ts';
import { rangesIn } from './highlights.ts';
import { type Term, termsOf } from './terms.ts';

const terms = (text: string): readonly Term[] => termsOf(text, { contactData: true });
const matched = (text: string, query: string) =>
  rangesIn(text, terms(query)).map(([start, end]) => text.slice(start, end));

describe('what of a name was matched', () => {
  it.each([
    ['Ada Lovelace', 'ada love', ['Ada', 'Love']],
    ['Zoë Müller-Ångström', 'muller angstrom', ['Müller', 'Ångström']],
    ['Grace Hopper', 'opp', ['opp']],
    ['Grace Hopper', 'hoper', ['Hopper']],
    ['Grace Hopper', 'lovelace', []],
    ['Groß', 'gross', []],
  ])('%s by %s', (text, query, expected) => expect(matched(text, query)).toEqual(expected));
});

const source = {
  ...{ id: '1', tenant_id: 'acme', full_name: 'Ada Lovelace', email: 'ada@example.com' },
  ...{ phone: '+4915112345678', company: null, tags: null, created_at: 0, updated_at: 1 },
};

describe('a contact as it is shown', () => {
  it('is masked for who may not see addresses and numbers, its matches included', () => {
    const masked = foundContact(source, terms('ada'), 'masked');
    expect(masked).toMatchObject({ email: 'a***@example.com', phone: '***-***-5678' });
    expect(masked.highlights['email']).toEqual([]);
    expect(JSON.stringify(masked)).not.toContain('ada@');
  });

  it('is shown whole to others', () => {
    expect(foundContact(source, terms('ada'), 'shown')).toMatchObject({
      ...{ email: 'ada@example.com', phone: '+4915112345678', tags: [] },
      created_at: '1970-01-01T00:00:00.000Z',
      highlights: { full_name: [[0, 3]], company: [], email: [[0, 3]] },
    });
  });

  it('hides what is no address or number', () => {
    expect(maskEmail('nobody')).toBe('***');
    expect(maskEmail('😀x@example.com')).toBe('😀***@example.com');
    expect(maskPhone('12')).toBe('***-***-**12');
  });
});
