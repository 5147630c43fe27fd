/**
 * JSON that goes on as it came: numbers that JavaScript cannot hold (64-bit ids, long decimals) keep their text. They stand in
 * the parsed value as raw JSON (the TC39 proposal "JSON.parse source text access", in V8 since 11.4).
 */

interface RawJson {
  readonly rawJSON: string;
}

/** What TypeScript's library does not know of `JSON` yet. */
const json = JSON as typeof JSON & {
  rawJSON(text: string): RawJson;
  isRawJSON(value: unknown): value is RawJson;
};

/** Parses a document; `JSON.stringify` gives its numbers back as they were. @throws SyntaxError. */
export function parseExact(text: string): unknown {
  return JSON.parse(text, (_name, value: unknown, context?: { readonly source?: string }) => {
    const source = context?.source;
    if (typeof value !== 'number' || source === undefined) return value;
    return String(value) === source ? value : json.rawJSON(source);
  });
}

/** The text of a number that was kept as text; any other value as it is. */
export function rawText(value: unknown): unknown {
  return json.isRawJSON(value) ? value.rawJSON : value;
}
