import { errorMessage } from '../../../runtime/errors.ts';
import { RAW_BYTES, type RowPlace, type RowVisitor } from './reader.ts';

const MAX_SHOWN_COLUMNS = 200;

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Hands over the object that a text is, or why it is none. @param text UTF-8. */
export function handObject(visitor: RowVisitor, place: RowPlace, text: Buffer): void {
  let value: unknown;
  try {
    value = JSON.parse(text.toString('utf8'));
  } catch (error) {
    visitor.broken(
      place,
      `it is no JSON: ${errorMessage(error)}`,
      text.toString('utf8', 0, RAW_BYTES),
    );
    return;
  }
  if (isObject(value)) visitor.object(place, value, text);
  else visitor.broken(place, 'it is no JSON object', text.toString('utf8', 0, RAW_BYTES));
}

/** Keys of the objects in the order in which they come; what is no object has none. */
export function columnsOfObjects(texts: Iterable<string>): string[] {
  const names = new Set<string>();
  for (const text of texts) {
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch {
      // Reading it says what is wrong with it.
      continue;
    }
    if (isObject(value)) for (const name of Object.keys(value)) names.add(name);
    if (names.size >= MAX_SHOWN_COLUMNS) break;
  }
  return [...names];
}
