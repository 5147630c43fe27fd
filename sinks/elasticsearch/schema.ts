import type { estypes } from '@elastic/elasticsearch';

/**
 * Lucene refuses a term of more than 32,766 bytes, and with it the document: a longer string is kept but not
 * found by exact match. 8,191 characters of at most 4 bytes.
 */
const ignore_above = 8_191;

const keyword = { type: 'keyword', ignore_above } as const;

/**
 * The mapping of the index `contacts`: strict, so that a field nobody mapped is an error, not a guess.
 * What is needed to tell tenants apart has no `ignore_above`: a document is refused rather than hidden.
 */
export const contactsMapping = {
  dynamic: 'strict',
  properties: {
    id: { type: 'keyword' },
    tenant_id: { type: 'keyword' },
    full_name: {
      type: 'text',
      analyzer: 'standard',
      fields: { keyword, ngram: { type: 'text', analyzer: 'ngram_3_4' } },
    },
    email: { ...keyword, normalizer: 'lowercase' },
    phone: keyword,
    company_id: keyword,
    company: { type: 'text', fields: { keyword } },
    company_domain: keyword,
    industry: keyword,
    tags: keyword,
    score: { type: 'float' },
    created_at: { type: 'date' },
    updated_at: { type: 'date' },
    version: { type: 'long' },
  },
} as const satisfies estypes.MappingTypeMapping;

/** Settings of the index `contacts`. @param gcDeletes an Elasticsearch duration, e.g. `7d`. */
export function contactsSettings(gcDeletes: string): estypes.IndicesIndexSettings {
  return {
    gc_deletes: gcDeletes,
    // A replica where there is a second node, a green index where there is none.
    auto_expand_replicas: '0-1',
    analysis: {
      tokenizer: {
        ngram_3_4: {
          type: 'ngram',
          min_gram: 3,
          max_gram: 4,
          token_chars: ['letter', 'digit'],
        },
      },
      analyzer: {
        ngram_3_4: {
          type: 'custom',
          tokenizer: 'ngram_3_4',
          filter: ['lowercase', 'asciifolding'],
        },
      },
    },
  };
}
