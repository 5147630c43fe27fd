/** The parts of an RFC 6901 pointer; a name without a slash is one part. */
export function pointerParts(column: string): string[] {
  if (!column.startsWith('/')) return column === '' ? [] : [column];
  return column
    .slice(1)
    .split('/')
    .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'));
}

/** What an object has at a key or pointer; undefined when nothing is there. Own properties only. */
export function valueAt(object: Readonly<Record<string, unknown>>, column: string): unknown {
  if (!column.startsWith('/')) return Object.hasOwn(object, column) ? object[column] : undefined;
  let value: unknown = object;
  for (const part of pointerParts(column)) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, part))
      return undefined;
    value = (value as Readonly<Record<string, unknown>>)[part];
  }
  return value;
}
