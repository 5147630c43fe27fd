import { isUtf8 } from 'node:buffer';

/** Encodings of text files, as the WHATWG names them. */
export const encodings = ['utf-8', 'utf-16le', 'utf-16be', 'windows-1252'] as const;
export type Encoding = (typeof encodings)[number];

export interface DetectedEncoding {
  readonly encoding: Encoding;
  /** Bytes of the byte order mark before the text. */
  readonly bomBytes: number;
}

/** How much of a file decides on its encoding, bytes. */
export const SAMPLE_BYTES = 65_536;
const MIN_ZERO_SHARE = 0.3;

/**
 * By its byte order mark (Unicode 16, section 23.8), else by where the zero bytes of UTF-16 are, else UTF-8 when the
 * sample is, else Windows-1252, in which every byte is some letter.
 * @param sample the beginning of the file.
 */
export function detectEncoding(sample: Buffer): DetectedEncoding {
  if (sample[0] === 0xef && sample[1] === 0xbb && sample[2] === 0xbf)
    return { encoding: 'utf-8', bomBytes: 3 };
  if (sample[0] === 0xff && sample[1] === 0xfe) return { encoding: 'utf-16le', bomBytes: 2 };
  if (sample[0] === 0xfe && sample[1] === 0xff) return { encoding: 'utf-16be', bomBytes: 2 };
  const pairs = Math.floor(Math.min(sample.length, 4_096) / 2);
  let even = 0;
  let odd = 0;
  for (let i = 0; i < pairs; i += 1) {
    if (sample[2 * i] === 0) even += 1;
    if (sample[2 * i + 1] === 0) odd += 1;
  }
  if (odd > pairs * MIN_ZERO_SHARE && even === 0) return { encoding: 'utf-16le', bomBytes: 0 };
  if (even > pairs * MIN_ZERO_SHARE && odd === 0) return { encoding: 'utf-16be', bomBytes: 0 };
  return { encoding: isUtf8(wholeCharacters(sample)) ? 'utf-8' : 'windows-1252', bomBytes: 0 };
}

/** Without the beginning of a character that the sample cuts off. */
function wholeCharacters(sample: Buffer): Buffer {
  for (let back = 1; back <= Math.min(3, sample.length); back += 1) {
    const byte = sample[sample.length - back] ?? 0;
    if ((byte & 0xc0) === 0x80) continue;
    return byte >= 0xc0 ? sample.subarray(0, sample.length - back) : sample;
  }
  return sample;
}
