import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseBody } from './body-json.ts';
import { firstJsonFault, firstTooDeep } from './json-fault.ts';

const bytesOf = (text: string) => Buffer.from(text, 'utf8');
const document = fc
  .tuple(fc.json({ maxDepth: 4 }), fc.constantFrom(undefined, 1, '\t'))
  .map(([json, indent]) => JSON.stringify(JSON.parse(json), undefined, indent));

/** Offsets at which a character of the text begins, and its end. */
function boundaries(text: string): number[] {
  const offsets = [0];
  for (const character of text) {
    offsets.push((offsets.at(-1) ?? 0) + Buffer.byteLength(character));
  }
  return offsets;
}

function insert(bytes: Buffer, at: number, byte: number): Buffer {
  return Buffer.concat([bytes.subarray(0, at), Buffer.of(byte), bytes.subarray(at)]);
}

function parses(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

describe('the position of a JSON fault', () => {
  it.each([
    ['', 0, 1, 1],
    ['{', 1, 1, 2],
    ['{"a":1,}', 7, 1, 8],
    ['{"a" 1}', 5, 1, 6],
    ["{'a':1}", 1, 1, 2],
    ['[1 2]', 3, 1, 4],
    ['[1}', 2, 1, 3],
    ['tru', 3, 1, 4],
    ['nul!', 3, 1, 4],
    ['01', 1, 1, 2],
    ['-', 1, 1, 2],
    ['1.e3', 2, 1, 3],
    ['"\\x"', 2, 1, 3],
    ['"\\u12g4"', 5, 1, 6],
    ['"a\nb"', 2, 1, 3],
    ['{}{}', 2, 1, 3],
    ['{\n  "é": 1,\n  "ü", 2\n}', 19, 3, 6],
    ['\ufeff{}', 0, 1, 1],
    ['zen=a&payload=%7B%7D', 0, 1, 1],
  ])('%j: byte %d, line %d, column %d', (text, byte, line, column) => {
    expect(parses(text)).toBe(false);
    expect(parseBody(bytesOf(text), 100)).toMatchObject({
      ok: false,
      code: 'JSON_INVALID',
      position: { byte, line, column },
      reason: expect.stringContaining(`line ${line}, column ${column} (byte ${byte})`),
    });
  });

  // A control character is legal nowhere in JSON, and what precedes it was the start of a document.
  it('is exactly where a forbidden byte was put', () => {
    fc.assert(
      fc.property(document, fc.nat(), (text, n) => {
        const offsets = boundaries(text);
        const at = offsets[n % offsets.length] ?? 0;
        const broken = insert(bytesOf(text), at, 0x01);
        expect(parseBody(broken, 100)).toMatchObject({
          code: 'JSON_INVALID',
          position: { byte: at },
        });
      }),
      { numRuns: 500 },
    );
  });

  it('is the end of a document that was cut', () => {
    fc.assert(
      fc.property(document, fc.nat(), (text, n) => {
        const offsets = boundaries(text);
        const cut = bytesOf(text).subarray(0, offsets[n % offsets.length]);
        const expected = parses(cut.toString()) ? undefined : cut.length;
        expect(firstJsonFault(cut)).toBe(expected);
      }),
      { numRuns: 500 },
    );
  });

  it('exists exactly when JSON.parse refuses', () => {
    const mutated = fc
      .tuple(document, fc.nat(), fc.integer({ min: 0, max: 0x7f }))
      .map(([text, n, code]) => {
        const at = n % (text.length + 1);
        return text.slice(0, at) + String.fromCharCode(code) + text.slice(at + 1);
      });
    const jsonish = fc.string({ unit: fc.constantFrom(...'{}[]",:\\u0123eE+-.truefalsn \n') });
    fc.assert(
      fc.property(fc.oneof(document, mutated, jsonish), (text) => {
        expect(firstJsonFault(bytesOf(text)) === undefined).toBe(parses(text));
      }),
      { numRuns: 2_000 },
    );
  });

  it('counts lines and columns as a text editor does', () => {
    fc.assert(
      fc.property(document, fc.nat(), (text, n) => {
        const offsets = boundaries(text);
        const index = n % offsets.length;
        const before = [...text].slice(0, index).join('').split('\n');
        const broken = insert(bytesOf(text), offsets[index] ?? 0, 0x01);
        expect(parseBody(broken, 100)).toMatchObject({
          position: { line: before.length, column: [...(before.at(-1) ?? '')].length + 1 },
        });
      }),
    );
  });
});

describe('a body', () => {
  it('keeps its text unaltered and is not polluted by __proto__', () => {
    const text = '{ "__proto__": {"admin": true}, "n": 1.0, "big": 12345678901234567890 }';
    const parsed = parseBody(bytesOf(text), 100);
    expect(parsed).toMatchObject({ ok: true, text });
    expect(({} as Record<string, unknown>)['admin']).toBeUndefined();
  });

  it('that is not UTF-8 is refused at the byte', () => {
    fc.assert(
      fc.property(document, fc.nat(), (text, n) => {
        const offsets = boundaries(text);
        const at = offsets[n % offsets.length] ?? 0;
        const broken = insert(bytesOf(text), at, 0xff);
        expect(parseBody(broken, 100)).toMatchObject({
          code: 'UTF8_INVALID',
          position: { byte: at },
        });
      }),
    );
    expect(parseBody(Buffer.from([0x22, 0xc3]), 100)).toMatchObject({
      code: 'UTF8_INVALID',
      position: { byte: 2 },
    });
  });

  it('is refused at the bracket that is one level too deep', () => {
    const nested = (depth: number) => bytesOf('[ '.repeat(depth) + ' ]'.repeat(depth));
    expect(parseBody(nested(100), 100)).toMatchObject({ ok: true });
    expect(parseBody(nested(101), 100)).toMatchObject({
      code: 'JSON_TOO_DEEP',
      position: { byte: 200 },
    });
    expect(firstTooDeep(bytesOf('"[[[[\\"[[[["'), 2)).toBeUndefined();
    expect(parseBody(Buffer.alloc(5_000_000, '['), 100)).toMatchObject({ code: 'JSON_TOO_DEEP' });
  });
});
