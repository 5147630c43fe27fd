import { promisify } from 'node:util';
import { gunzip as gunzipCallback } from 'node:zlib';
import { errorCode } from '../../runtime/errors.ts';
import { ProblemError } from '../../runtime/http/problem.ts';

const gunzip = promisify(gunzipCallback);

/** Is the body compressed? @throws ProblemError 415 ENCODING_UNSUPPORTED for anything but gzip, once. */
export function isGzip(contentEncoding: string | undefined): boolean {
  const encoding = contentEncoding?.trim().toLowerCase() ?? '';
  if (encoding === '' || encoding === 'identity') return false;
  if (encoding === 'gzip' || encoding === 'x-gzip') return true;
  throw new ProblemError('the content encoding of the body is not supported', {
    status: 415,
    code: 'ENCODING_UNSUPPORTED',
    hint: 'Compress the body with gzip, once, or not at all.',
    // RFC 9110, 12.5.3: what a request could have used instead.
    headers: { 'accept-encoding': 'gzip, identity' },
  });
}

/**
 * What was compressed, as far as it stays within the limit: no more than that is ever in memory.
 * @throws ProblemError 413 BODY_TOO_LARGE, 400 GZIP_INVALID.
 */
export async function inflate(compressed: Buffer, limitBytes: number): Promise<Buffer> {
  try {
    return await gunzip(compressed, { maxOutputLength: limitBytes });
  } catch (error) {
    if (errorCode(error) === 'ERR_BUFFER_TOO_LARGE') {
      throw new ProblemError(`the body is larger than ${limitBytes} bytes when decompressed`, {
        status: 413,
        code: 'BODY_TOO_LARGE',
        hint: 'Send less per request, or a reference to the data instead of the data.',
        extensions: { limit_bytes: limitBytes },
      });
    }
    throw new ProblemError('the body is not gzip, or it is cut off', {
      status: 400,
      code: 'GZIP_INVALID',
      hint: 'Compress the whole body with gzip, or send no content-encoding.',
      cause: error,
    });
  }
}
