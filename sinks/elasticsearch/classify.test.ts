import { type DiagnosticResult, errors } from '@elastic/elasticsearch';
import { describe, expect, it } from 'vitest';
import {
  classifyItem,
  classifyOpen,
  classifyRequest,
  classifyUnsent,
  tooLarge,
} from './classify.ts';

const item = (status: number, type?: string) => ({
  _index: 'contacts',
  status,
  ...(type === undefined ? {} : { error: { type, reason: 'it failed' } }),
});

function responseError(statusCode: number): errors.ResponseError {
  const meta = { statusCode, body: {}, headers: {}, warnings: null, meta: {} };
  return new errors.ResponseError(meta as unknown as DiagnosticResult);
}

describe('classification of bulk items', () => {
  it('delivers what was written, and what is there already or newer', () => {
    const delivered = [item(200), item(201), item(409, 'version_conflict_engine_exception')];
    for (const one of delivered) expect(classifyItem(one).status).toBe('delivered');
  });

  const faults = ['document_parsing_exception', 'illegal_argument_exception'];
  for (const type of faults) {
    it(`rejects 400 ${type} with its reason`, () => {
      expect(classifyItem(item(400, type))).toMatchObject({
        status: 'rejected',
        error: { code: 'ELASTICSEARCH_REJECTED', message: expect.stringContaining('it failed') },
      });
    });
  }

  const storeFaults: readonly [number, string][] = [
    [429, 'es_rejected_execution_exception'],
    [429, 'cluster_block_exception'],
    [429, 'circuit_breaking_exception'],
    // The sink writes mapped fields only: the index is behind, for every document.
    [400, 'strict_dynamic_mapping_exception'],
    [403, 'cluster_block_exception'],
    [404, 'index_not_found_exception'],
    [500, 'translog_exception'],
    [503, 'unavailable_shards_exception'],
  ];
  for (const [status, type] of storeFaults) {
    it(`retries ${status} ${type}`, () => {
      expect(classifyItem(item(status, type))).toMatchObject({
        status: 'retry',
        of: 'store',
        error: { code: 'ELASTICSEARCH_REFUSED', domain: 'external', retry: 'backoff' },
      });
    });
  }

  it('retries what the answer does not mention', () => {
    expect(classifyItem(undefined).status).toBe('retry');
    expect(classifyItem(item(503)).status).toBe('retry');
    expect(classifyItem(item(404)).status).toBe('retry');
  });
});

describe('classification of whole requests', () => {
  it('rejects what is malformed or too large, so that it is halved', () => {
    for (const status of [400, 413]) {
      expect(classifyRequest(responseError(status), 7).status).toBe('rejected');
    }
  });

  it('says what is too large, and how large that is', () => {
    for (const result of [classifyRequest(responseError(413), 1_234), tooLarge(1_234, 99)]) {
      expect(result).toMatchObject({
        status: 'rejected',
        error: {
          code: 'ELASTICSEARCH_REJECTED',
          message: expect.stringMatching(/1234 bytes.*http\.max_content_length/),
        },
      });
    }
  });

  it('retries the store when a failure came before any document was sent', () => {
    for (const status of [400, 413, 503]) {
      expect(classifyUnsent(responseError(status))).toMatchObject({ status: 'retry', of: 'store' });
    }
  });

  it('retries everything else', () => {
    for (const status of [401, 403, 404, 429, 500, 502, 503]) {
      expect(classifyRequest(responseError(status), 7)).toMatchObject({
        status: 'retry',
        of: 'store',
        error: { code: 'ELASTICSEARCH_REFUSED' },
      });
    }
    for (const error of [new errors.ConnectionError('refused'), new errors.TimeoutError('late')]) {
      expect(classifyRequest(error, 7)).toMatchObject({
        status: 'retry',
        of: 'store',
        error: { code: 'ELASTICSEARCH_UNAVAILABLE' },
      });
    }
  });

  it('open gives up on wrong settings only', () => {
    for (const status of [400, 401, 403]) {
      expect(classifyOpen(responseError(status))).toMatchObject({
        code: 'ELASTICSEARCH_SETTINGS',
        retry: 'none',
      });
    }
    for (const error of [responseError(503), responseError(429), new errors.ConnectionError('x')]) {
      expect(classifyOpen(error)).toMatchObject({ retry: 'backoff' });
    }
  });
});
