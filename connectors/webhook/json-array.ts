/**
 * The texts of a JSON array's elements, as they stand: parsing and writing them again would change numbers that do not
 * fit a double. The bytes must be a JSON array already; nothing is checked here.
 */

const QUOTE = 0x22;
const COMMA = 0x2c;
const BACKSLASH = 0x5c;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;

/** One element for each of the parsed array's, without the space around it. */
export function elementTexts(array: Buffer): string[] {
  const texts: string[] = [];
  let depth = 0;
  let begin = 0;
  let inString = false;
  for (let at = 0; at < array.length; at += 1) {
    const byte = array[at];
    if (inString) {
      if (byte === BACKSLASH) at += 1;
      else if (byte === QUOTE) inString = false;
    } else if (byte === QUOTE) {
      inString = true;
    } else if (byte === OPEN_BRACKET || byte === OPEN_BRACE) {
      depth += 1;
      if (depth === 1) begin = at + 1;
    } else if (byte === CLOSE_BRACKET || byte === CLOSE_BRACE) {
      depth -= 1;
      if (depth === 0) texts.push(array.toString('utf8', begin, at).trim());
    } else if (byte === COMMA && depth === 1) {
      texts.push(array.toString('utf8', begin, at).trim());
      begin = at + 1;
    }
  }
  return texts.length === 1 && texts[0] === '' ? [] : texts;
}
